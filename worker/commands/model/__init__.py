"""`model`: look at, convert, train, calibrate and evaluate models."""

import click

from worker.commands.lazy import LazyGroup

COMMANDS = {
    "inspect": "worker.commands.model.inspect:inspect",
    "verify": "worker.commands.model.verify:verify",
    "convert": "worker.commands.model.convert:convert",
    "embed": "worker.commands.model.embed:embed",
    "fetch": "worker.commands.model.fetch:fetch",
    "pretrain": "worker.commands.model.pretrain:pretrain",
    "probe": "worker.commands.model.probe:probe",
    "finetune": "worker.commands.model.finetune:finetune",
    "fit": "worker.commands.model.fit:fit",
    "score": "worker.commands.model.score:score",
    "calibrate": "worker.commands.model.calibrate:calibrate",
    "evaluate": "worker.commands.model.evaluate:evaluate",
    "validity": "worker.commands.model.validity:validity",
    "ablate": "worker.commands.model.ablate:ablate",
    "drift": "worker.commands.model.drift:drift",
    "compare": "worker.commands.model.compare:compare",
}


@click.group(cls=LazyGroup, table=COMMANDS)
def model() -> None:
    """Look at, convert, train, calibrate and evaluate models."""
