"""`model inspect`: what an artefact or a weights file holds."""

import json
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@json_option
def inspect(path: Path | None, *, as_json: bool) -> None:
    """Architecture, sizes and training record; PATH as for `model embed`, else the packaged."""
    from models import default_artifact
    from models.convert import describe, load_any
    from worker.commands.model.failures import as_config_errors

    path = path or default_artifact()
    with as_config_errors():
        about = {"path": str(path), **describe(load_any(path)), **_record(path)}
    if as_json:
        click.echo(json.dumps(about))
        return
    tensors = about.pop("tensors")
    for name, value in about.items():
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    for name, shape in tensors.items():
        click.echo(f"  {name} {tuple(shape)}")


def _record(path: Path) -> dict[str, Any]:
    """What config.json adds: name, classes, what was seen in training."""
    from models.weights import read_record

    directory = path if path.is_dir() else path.parent
    if path.is_dir() or (path.suffix == ".safetensors" and (directory / "config.json").exists()):
        record = read_record(directory)
        return {name: value for name, value in record.items() if name != "encoder"}
    return {}
