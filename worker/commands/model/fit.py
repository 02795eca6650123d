"""`model fit`: heads on plain feature vectors, or a whole artefact on light curves."""

import logging
from pathlib import Path

import click

from worker.commands.model.failures import as_config_errors


@click.command()
@click.option("--features", type=click.Path(path_type=Path),
              help="IN.npz: x (N, D), y (N,) names; x_val, y_val.")  # fmt: skip
@click.option("--encoder", type=click.Path(path_type=Path), help="Folder of a trained encoder.")
@click.option("--curves", multiple=True, type=click.Path(path_type=Path),
              help="Parquet of labelled light curves; repeatable.")  # fmt: skip
@click.option("--name", default="anomaly-small", show_default=True)
@click.option("--version", "number", default="0.1.0", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
def fit(
    features: Path | None,
    encoder: Path | None,
    curves: tuple[Path, ...],
    name: str,
    number: str,
    seed: int,
    out: Path,
) -> None:
    """Fit the anomaly heads: --features, or --encoder with --curves.

    From curves: trains on the part `fit` of the objects, stops by `val`, calibrates, checks and
    packs an artefact. Sources whose terms forbid commercial use are left out.
    """
    if (features is None) == (encoder is None):
        raise click.UsageError("give either --features or --encoder with --curves")
    with as_config_errors():
        if features is not None:
            from models.mcdsvdd import PARITY
            from models.plain import fit_plain, read_features

            model = fit_plain(read_features(features), PARITY.with_seed(seed))
            model.save(out)
            click.echo(f"{out}: {len(model.classes)} classes, {model.config.inputs} inputs")
            return
        from models.data import load_curves
        from models.fit import FitPlan, fit_artifact

        if not curves:
            raise click.UsageError("--encoder needs --curves")
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        assert encoder is not None
        record = fit_artifact(encoder, load_curves(curves), FitPlan(name, number, seed), out)
        click.echo(f"{out}: classes {', '.join(record['classes'])}")
