"""`compile`: all machine code, before it is needed."""

import click


@click.command("compile")
def compile_all() -> None:
    """Compile into NUMBA_CACHE_DIR what a first start would compile, for images."""
    import numpy as np

    from models import default_artifact
    from models.scorer import Scorer
    from worker.decode import Decoder
    from worker.light_curve import as_of
    from worker.types.packets import BANDS

    Decoder()
    one, number = np.zeros(1), np.zeros(1, dtype=np.int64)
    as_of(one, one, number, np.zeros((1, len(BANDS), 2), dtype=np.int64), one, number)
    Scorer.load(default_artifact(), "cpu").warm_up()
