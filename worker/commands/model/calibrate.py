"""`model calibrate`: a calibration of a survey from what a model said about its own stream."""

from pathlib import Path

import click

from worker.commands.model.failures import as_config_errors
from worker.commands.options import settings_options


@click.command()
@click.option("--from-topic", "topic", required=True, metavar="SCORES",
              help="Topic of slim scores, as OUT.scores.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Calibration file.")
@settings_options
def calibrate(topic: str, out: Path, config: Path | None, assignments: tuple[str, ...]) -> None:
    """Fit a calibration from the live stream; name it in model.calibrations afterwards.

    Takes the configured survey's alerts that the configured model scored, one per object, and
    needs 1,000 objects of a magnitude kind.
    """
    from models import default_artifact
    from models.calibration import save_calibration
    from models.drift import stream_scores
    from models.scorer import Scorer
    from worker.commands.reading import broker_settings, decoded
    from worker.kafka import read_all

    settings = broker_settings(config, assignments)
    survey = settings.source.survey
    with as_config_errors():
        scorer = Scorer.load(settings.model.path or default_artifact(), "cpu")
        records = (decoded(read) for read in read_all(settings.kafka.common, topic))
        found = stream_scores(
            (record for record in records if record is not None), survey, scorer.sha256,
            scorer.classes,
        )  # fmt: skip
        save_calibration(
            out, survey, found.kind, found.n_points, found.score, found.s_input, found.nearest,
            model_sha256=scorer.sha256,
        )  # fmt: skip
    click.echo(f"{out}: survey {survey}, {len(found.score)} objects")
