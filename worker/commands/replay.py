"""`replay`: score past nights again from the live state, and compare with what was published."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from worker.batch import Batcher, BatchLimits, Received
from worker.commands.options import json_option, settings_options
from worker.decode import Decoder
from worker.errors import ConfigError, ExitCode
from worker.kafka import Read, produce_all, read_all
from worker.night import night_of_jd
from worker.settings import Settings
from worker.topics import Topics, topics_between
from worker.types.records import Message, RecordBatch, TopicPartition

SHOWN = 20
"""Names that the report lists of each kind of difference."""

NIGHT = click.DateTime(["%Y%m%d", "%Y-%m-%d"])


@click.command()
@settings_options
@click.option("--night", type=NIGHT, help="This night (YYYYMMDD).")
@click.option("--from", "first", type=NIGHT, help="First night.")
@click.option("--to", "last", type=NIGHT, help="Last night; default: the first.")
@click.option("--out", "out", help="Write to this topic and its companions; default <out>.replay.")
@json_option
def replay(
    config: Path | None,
    assignments: tuple[str, ...],
    night: Any,
    first: Any,
    last: Any,
    out: str | None,
    *,
    as_json: bool,
) -> int:
    """Score past nights again and compare; the live state is read, never written.

    Fails when an equal light curve gave another score or another decision.
    """
    from worker.commands.reading import broker_settings

    begin, end = night or first, night or last or first
    if begin is None or end < begin:
        raise click.UsageError("say --night, or --from and --to")
    live = broker_settings(config, assignments)
    nights = Nights(begin.date(), end.date(), live.source.longitude)
    other = _elsewhere(live, out or f"{live.output.topic}.replay")
    sink = _run(live, other, nights)
    report = _report(live, other, sink, nights)
    click.echo(json.dumps(report) if as_json else _as_text(report))
    return ExitCode.OK if report["agrees"] else ExitCode.UNEXPECTED


@dataclass(frozen=True, slots=True)
class Nights:
    """The nights from `first` to `last`, both included, of an observatory (degrees east)."""

    first: date
    last: date
    longitude: float

    def __contains__(self, jd: float) -> bool:
        """Whether a moment (days) lies in one of them, by the ledger's definition."""
        return f"{self.first:%Y%m%d}" <= night_of_jd(jd, self.longitude) <= f"{self.last:%Y%m%d}"


class ReplaySource:
    """The records of some nights, once; sets `stop` behind the last one."""

    def __init__(self, records: Iterator[RecordBatch], stop: threading.Event) -> None:
        self._records, self._stop = records, stop

    def poll_batch(self) -> RecordBatch:
        """The next batch; empty at the end."""
        batch = self.read_ahead()
        if not len(batch):
            self._stop.set()
        return batch

    def read_ahead(self) -> RecordBatch:
        """The next batch."""
        return next(self._records, None) or Batcher(BatchLimits()).batch({})

    def advance(self) -> None:
        """Nothing is read twice."""

    def replayed_below(self, partition: TopicPartition) -> int:  # noqa: ARG002 - the protocol's
        """Everything is scored."""
        return 0

    def heartbeat(self) -> None:
        """There is no membership to keep."""

    def rewind(self) -> None:
        """Nothing aborts outside of transactions."""


class ReplaySink:
    """Produces, and keeps what the report needs."""

    def __init__(self, settings: Settings) -> None:
        self._config = {**settings.kafka.common, **settings.kafka.producer}
        self._scores = Topics(settings.output.topic).scores
        self.scores: list[bytes] = []

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Deliver the messages; there are no offsets to commit."""
        del next_offsets
        produce_all(self._config, messages)
        self.scores += [m.value for m in messages if m.topic == self._scores and m.value]


def _elsewhere(live: Settings, out: str) -> Settings:
    """The settings of the replay: another group, other topics."""
    if out == live.output.topic:
        raise ConfigError("a replay must not write to the live topic")
    return live.model_copy(
        update={
            "output": live.output.model_copy(update={"topic": out, "create_topics": True}),
            "worker": live.worker.model_copy(update={"group": f"{live.worker.group}.replay"}),
            "dead_letters": live.dead_letters.model_copy(update={"max_share": 1.0}),
        }
    )


def _run(live: Settings, other: Settings, nights: Nights) -> ReplaySink:
    from worker.commands.run import prepare_topics
    from worker.commands.wiring import connect_read_only, load_scorer, make_decoder, make_loop
    from worker.metrics import Metrics

    limits = prepare_topics(other)
    store, stop, sink = connect_read_only(live), threading.Event(), ReplaySink(other)
    records = _batches(live, make_decoder(live), nights)
    make_loop(
        other, ReplaySource(records, stop), sink, store, load_scorer(live),
        Metrics(), stop, limits=limits, test=True,
    ).run()  # fmt: skip
    store.close()
    return sink


def _batches(live: Settings, decoder: Decoder, nights: Nights) -> Iterator[RecordBatch]:
    """The records of these nights from every input topic that is there."""
    from worker.kafka import missing_topics

    source = live.source
    names = [*source.topics, Topics(live.output.topic).redrive]
    if source.topic_template is not None:
        listed = live.output.programids
        names += topics_between(source.topic_template, listed, nights.first, nights.last)
    missing = missing_topics(live.kafka.common, names)
    reads = chain.from_iterable(
        read_all(live.kafka.common, name) for name in names if name not in missing
    )
    while chunk := list(islice(reads, live.batch.max_records)):
        records = _batch(chunk)
        packets, _ = decoder.decode(records)
        pairs = zip(packets.record.tolist(), packets.jd.tolist(), strict=True)
        wanted = {record for record, jd in pairs if jd in nights}
        if wanted:
            yield _batch([read for row, read in enumerate(chunk) if row in wanted])


def _batch(reads: Sequence[Read]) -> RecordBatch:
    batcher = Batcher(BatchLimits())
    for r in reads:
        batcher.add(
            Received(r.partition, r.offset, r.timestamp_ms, r.key, r.value or b"", r.headers), 0.0
        )
    starts: dict[TopicPartition, int] = {}
    for r in reads:
        starts.setdefault(r.partition, r.offset)
    return batcher.batch(starts)


def _report(live: Settings, other: Settings, sink: ReplaySink, nights: Nights) -> dict[str, Any]:
    from worker.encode import read_container
    from worker.replay import compare

    topic = Topics(live.output.topic).scores
    published = (read_container(read.value or b"") for read in read_all(live.kafka.common, topic))
    before = (score for score in published if score["jd"] in nights)
    comparison = compare(before, map(read_container, sink.scores), live.output.min_percentile)
    return {
        "nights": f"{nights.first} to {nights.last}",
        "topic": other.output.topic,
        "agrees": comparison.agrees,
        **asdict(comparison),
    }


def _as_text(report: Mapping[str, Any]) -> str:
    lines = []
    for name, found in report.items():
        if not isinstance(found, list):
            lines.append(f"{name:20} {found}")
            continue
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        lines.append(f"{name:20} {len(found)} {', '.join(found[:SHOWN])}{more}")
    return "\n".join(lines)
