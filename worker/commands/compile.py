"""`compile`: all machine code, before it is needed."""

import click


@click.command("compile")
def compile_all() -> None:
    """Compile into NUMBA_CACHE_DIR what a first start would compile, for images."""
    import numpy as np

    from models import default_artifact
    from models.scorer import Scorer
    from worker.cuts import judge_packets
    from worker.decode import Decoder
    from worker.light_curve import light_curves
    from worker.types.records import RecordBatch
    from worker.window import WindowPolicy, cut_windows

    rows, numbers = np.empty(0, np.int32), np.empty(0, np.int64)
    nothing = RecordBatch([], rows, numbers, numbers, [], [], [], {})
    packets, _ = Decoder().decode(nothing)
    policy = WindowPolicy()
    judge_packets(packets, policy.cuts)
    cut_windows(packets, light_curves(packets, rows, {}, []), rows, policy)
    Scorer.load(default_artifact(), "cpu").warm_up()
