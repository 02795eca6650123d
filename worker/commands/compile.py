"""`compile`: all machine code, before it is needed."""

import click


@click.command("compile")
def compile_all() -> None:
    """Compile into NUMBA_CACHE_DIR what a first start would compile, for images."""
    from models import default_artifact
    from models.scorer import Scorer
    from worker.decode import Decoder
    from worker.types.records import RecordBatch
    from worker.window import warm_up

    warm_up(Decoder().decode(RecordBatch.empty())[0])
    Scorer.load(default_artifact(), "cpu").warm_up()
