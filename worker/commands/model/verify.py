"""`model verify`: digests, weights and a golden batch."""

import json
from pathlib import Path

import click

from worker.commands.options import json_option


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--windows", type=click.Path(dir_okay=False, path_type=Path),
              help="Windows of a golden batch in the authors' form, with --golden.")  # fmt: skip
@click.option("--golden", type=click.Path(dir_okay=False, path_type=Path),
              help="What `model embed` must give for them.")  # fmt: skip
@click.option("--record", is_flag=True, help="Store a golden batch in the artefact first.")
@json_option
def verify(
    path: Path | None, windows: Path | None, golden: Path | None, *, record: bool, as_json: bool
) -> None:
    """Check PATH (an artefact, else the packaged; weights with --windows and --golden).

    An artefact: every digest, names and shapes, and its golden batch. Exit 78 where it differs.
    """
    from models import default_artifact
    from models.golden import check_artifact, check_vectors, write_golden
    from worker.commands.model.failures import as_config_errors

    path = path or default_artifact()
    if (windows is None) != (golden is None):
        raise click.UsageError("--windows and --golden belong together")
    with as_config_errors():
        if windows is not None and golden is not None:
            found = check_vectors(path, windows, golden)
        else:
            if record:
                write_golden(path)
            found = check_artifact(path)
    if as_json:
        click.echo(json.dumps({"path": str(path), **found}))
    else:
        for name, value in found.items():
            click.echo(f"{name}: {value}")
