"""`model score`: score plain feature vectors with a model that `model fit --features` made."""

from pathlib import Path

import click

from worker.commands.model.failures import as_config_errors


@click.command()
@click.option("--model", "directory", required=True, type=click.Path(path_type=Path))
@click.option("--features", required=True, type=click.Path(path_type=Path), help="IN.npz: x (N, D)")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="OUT.npz")
def score(directory: Path, features: Path, out: Path) -> None:
    """Write score (N,) = s1, nearest (N,) and distances (N, K) to OUT.npz."""
    import numpy as np

    from models.plain import PlainModel, read_features

    with as_config_errors():
        model = PlainModel.load(directory)
        found = model.score(np.asarray(read_features(features)["x"], dtype=np.float64))
        np.savez(out, score=found.score, nearest=found.nearest, distances=found.distances)
    click.echo(f"{out}: {len(found.score)} rows")
