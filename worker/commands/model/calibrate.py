"""`model calibrate`: a calibration of a survey from its own stream, or from its archive."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.commands.model.failures import as_config_errors
from worker.commands.options import settings_options

if TYPE_CHECKING:
    from models.drift import StreamScores
    from models.scorer import Scorer
    from worker.settings import Settings


@click.command()
@click.option(
    "--from-topic", "topic", metavar="SCORES", help="Topic of slim scores, as OUT.scores."
)
@click.option("--data", "files", multiple=True,
              type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Parquet file of the survey's light curves; repeatable.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Calibration file.")
@settings_options
def calibrate(
    topic: str | None, files: tuple[Path, ...], out: Path, config: Path | None,
    assignments: tuple[str, ...],
) -> None:  # fmt: skip
    """Fit a calibration of the configured survey; name it in model.calibrations afterwards.

    From the live stream: the survey's alerts that the configured model scored, one per object.
    From an archive, before there is a stream: its curves as they grow. Needs 1,000 objects of a
    magnitude kind.
    """
    from models import default_artifact
    from models.calibration import save_calibration
    from models.scorer import Scorer
    from worker.commands.reading import broker_settings
    from worker.config import load_settings

    if (topic is None) == (not files):
        raise click.UsageError("name either --from-topic or --data")
    settings = (
        broker_settings(config, assignments)
        if topic
        else load_settings(config, assignments).settings
    )
    survey = settings.source.survey
    with as_config_errors():
        scorer = Scorer.load(settings.model.path or default_artifact(), "cpu")
        found = _of_topic(scorer, settings, topic) if topic else _of_archive(scorer, survey, files)
        save_calibration(
            out, survey, found.kind, found.n_points, found.score, found.s_input, found.nearest,
            model_sha256=scorer.sha256,
        )  # fmt: skip
    click.echo(f"{out}: survey {survey}, {len(found.score)} scores")


def _of_topic(scorer: "Scorer", settings: "Settings", topic: str) -> "StreamScores":
    from models.drift import stream_scores
    from worker.commands.reading import decoded
    from worker.kafka import read_all

    records = (decoded(read) for read in read_all(settings.kafka.common, topic))
    return stream_scores(
        (record for record in records if record is not None), settings.source.survey,
        scorer.sha256, scorer.classes,
    )  # fmt: skip


def _of_archive(scorer: "Scorer", survey: str, files: Sequence[Path]) -> "StreamScores":
    import numpy as np

    from models.data import load_curves
    from models.drift import StreamScores
    from models.grown import calibrating

    curves = calibrating(load_curves(files), survey, scorer.classes)
    kind = curves.apparent.astype(np.uint8)
    found = scorer.score(curves.offsets, curves.time, curves.mag, curves.err, kind)
    good = np.isfinite(found.score)
    n_points = np.diff(curves.offsets)
    return StreamScores(
        kind[good], n_points[good], found.score[good], found.s_input[good], found.nearest[good]
    )
