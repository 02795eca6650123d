"""Worker processes of a benchmark: the run loop as it is, with a clock at source and sink."""

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.types.records import Message, RecordBatch, TopicPartition

Scoring = Literal["packaged", "no-period", "astromer2", "stub"]
"""`no-period`: the packaged model with its period block left out."""

PARTITIONS = 15
"""Of the input, as in BOOM's benchmark."""

STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker process says at its end; times in Unix seconds.

    `first_s`, `last_s`: first record consumed, 0 where none came, and last commit;
    `stages`: seconds by stage.
    """

    model: str
    first_s: float
    last_s: float
    cpu_s: float
    stages: Mapping[str, float]
    outcomes: Mapping[str, int] = field(default_factory=dict)


class ClockedSource:
    """A source that remembers when the first record came."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.first_s, self.cpu_s = 0.0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def poll_batch(self) -> RecordBatch:
        """As the source's."""
        return self._seen(self._source.poll_batch())

    def read_ahead(self) -> RecordBatch:
        """As the source's."""
        return self._seen(self._source.read_ahead())

    def _seen(self, records: RecordBatch) -> RecordBatch:
        if len(records) and not self.first_s:
            self.first_s, self.cpu_s = time.time(), time.process_time()
        return records


class Progress:
    """Next offset of every partition of the input, shared by all processes.

    The topic is read from its start, so the offsets count records, whoever committed them.
    """

    def __init__(self, context: Any) -> None:
        self._offsets = context.Array("q", PARTITIONS)

    def reach(self, partition: int, offset: int) -> None:
        """This much is committed of the partition; a worker that lost it may be behind."""
        with self._offsets.get_lock():
            self._offsets[partition] = max(self._offsets[partition], offset)

    @property
    def records(self) -> int:
        """Records that are committed so far."""
        return sum(self._offsets)


class ClockedSink:
    """A sink that tells what is committed, and when."""

    def __init__(self, sink: Any, progress: Progress) -> None:
        self._sink, self._progress = sink, progress
        self.last_s = 0.0

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """As the sink's."""
        self._sink.commit(messages, next_offsets)
        self.last_s = time.time()
        for tp, offset in next_offsets.items():
            self._progress.reach(tp.partition, offset)


class Crew:
    """`workers` processes of one group, each with its share of the cores' threads."""

    def __init__(
        self, assignments: Sequence[str], scoring: Scoring, workers: int, work: Any = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress, self._stop = Progress(context), context.Event()
        self._ready, self._reports = context.Semaphore(0), context.Queue()
        threads = max(1, (os.cpu_count() or 1) // workers)
        shared = (scoring, threads, self._progress, self._stop, self._ready, self._reports)
        self._processes = [
            context.Process(
                target=work or run_one, args=([*assignments, f"worker.slot={slot}"], *shared)
            )
            for slot in range(workers)
        ]

    @property
    def committed(self) -> int:
        """Records that are committed so far."""
        return self._progress.records

    def start(self) -> None:
        """Start all; returns when each has loaded its model and is about to join the group."""
        for process in self._processes:
            process.start()
        for _ in self._processes:
            while not self._ready.acquire(timeout=1.0):
                self.check()

    def check(self) -> None:
        """RuntimeError when a process has ended before its time."""
        codes = [process.exitcode for process in self._processes]
        if any(code is not None for code in codes):
            raise RuntimeError(f"a worker of the benchmark ended with {codes}")

    def await_records(self, count: int, limit_s: float) -> None:
        """Wait until as many records are committed; TimeoutError."""
        deadline = time.monotonic() + limit_s
        while self.committed < count:
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.committed} of {count} records in {limit_s} s")
            time.sleep(0.05)

    def finish(self) -> list[Report]:
        """Stop all and collect what they say."""
        self._stop.set()
        reports = [self._reports.get(timeout=STOP_S) for _ in self._processes]
        for process in self._processes:
            process.join(STOP_S)
        return reports

    def kill(self) -> None:
        """End what still runs."""
        for process in self._processes:
            if process.is_alive():
                process.kill()


@contextmanager
def crew(assignments: Sequence[str], scoring: Scoring, workers: int, work: Any = None) -> Any:
    """A started crew; no process outlives the block."""
    team = Crew(assignments, scoring, workers, work)
    try:
        team.start()
        yield team
    finally:
        team.kill()


def run_one(
    assignments: Sequence[str],
    scoring: Scoring,
    threads: int,
    progress: Progress,
    stop: Any,
    ready: Any,
    reports: Any,
) -> None:
    """One worker: as `run` does it, but for the clocks and the scorer."""
    import torch

    from models.scorer import Scorer as ModelScorer
    from worker.commands.bench.scoring import make_scorer
    from worker.commands.run import open_ends, prepare_topics
    from worker.commands.wiring import connect_store, make_loop
    from worker.config import load_settings
    from worker.metrics import Metrics
    from worker.reuse import reuse_memory

    torch.set_num_threads(threads)
    settings, metrics = load_settings(None, assignments).settings, Metrics()
    limits = prepare_topics(settings)
    with ExitStack() as open_parts:
        store, scorer = connect_store(settings), make_scorer(settings, scoring)
        open_parts.callback(store.close)
        if isinstance(scorer, ModelScorer):
            scorer.share_memo(store.memos())
        source, sink = open_ends(settings, store.marks, open_parts)
        clocked, counted = ClockedSource(source), ClockedSink(sink, progress)
        loop = make_loop(settings, clocked, counted, store, scorer, metrics, stop, limits=limits)
        reuse_memory()
        ready.release()
        loop.run()
    spent = time.process_time() - clocked.cpu_s
    model, totals = f"{scorer.name} {scorer.version}", metrics.stage_totals()
    reports.put(Report(model, clocked.first_s, counted.last_s, spent, totals,
                       metrics.outcome_totals()))  # fmt: skip
