"""`model convert`: the authors' weights to safetensors, without TensorFlow."""

from pathlib import Path

import click


@click.command()
@click.option("--from", "source", required=True, type=click.Path(path_type=Path),
              help="Prefix of a TensorFlow checkpoint (without .index) or .npz.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="W.safetensors; config.json is written beside it.")  # fmt: skip
def convert(source: Path, out: Path) -> None:
    """Convert Astromer 1 or 2; names, shapes and counts are checked."""
    from models.convert import describe, load_any
    from models.weights import save_weights
    from worker.commands.model.failures import as_config_errors

    if out.suffix != ".safetensors":
        raise click.UsageError("--out must end in .safetensors")
    with as_config_errors():
        module = load_any(source)
        about = describe(module)
        # Absolute paths stay out of files that are passed on.
        record = {
            "encoder": about["encoder"],
            "converted_from": source.name,
            "labels_seen": [],
            "curves_seen": {},
        }
        save_weights(module, out, record)
    click.echo(
        f"Astromer {module.config.version}: {len(about['tensors'])} arrays, "
        f"{about['parameters']:,} parameters -> {out}",
        err=True,
    )
