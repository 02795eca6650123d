"""`model embed`: embeddings of stored windows or curves."""

from pathlib import Path

import click


@click.command()
@click.option("--weights", required=True, type=click.Path(path_type=Path),
              help="W.safetensors, an encoder's folder, .npz or checkpoint prefix.")  # fmt: skip
@click.option("--windows", type=click.Path(dir_okay=False, path_type=Path),
              help=".npz with input, times, mask_in (N, T, 1); mask 1 = hidden.")  # fmt: skip
@click.option("--curves", type=click.Path(dir_okay=False, path_type=Path),
              help=".npz with one (n, 3) array a curve: time, magnitude, error.")  # fmt: skip
@click.option("--windowing", type=click.Choice(["newest", "authors"]), default="newest",
              show_default=True, help="Of --curves: the newest points, or all.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def embed(
    weights: Path, windows: Path | None, curves: Path | None, windowing: str, out: Path
) -> None:
    """Write mean_by_layer, max_last, skip_gamma_init and reconstruction to OUT.npz."""
    import numpy as np

    from models.convert import load_any
    from models.embed import embed_windows, read_curves, read_windows
    from worker.commands.model.failures import as_config_errors

    if (windows is None) == (curves is None):
        raise click.UsageError("give either --windows or --curves")
    with as_config_errors():
        module = load_any(weights)
        if windows is not None:
            found = read_windows(windows)
        else:
            assert curves is not None
            found = read_curves(curves, windowing, module.config.window, module.config.channels)
        embedded = embed_windows(module, found)
        # np.savez adds .npz to a name; a file object keeps the name as given.
        with out.open("wb") as file:
            np.savez(file, **embedded)  # type: ignore[arg-type]  # numpy's stubs miss **arrays
    click.echo(f"{len(found['input'])} windows -> {out}", err=True)
