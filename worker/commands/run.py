"""`run`: join the group and rank alerts until asked to stop."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import click

from worker.commands.options import settings_options
from worker.commands.shutdown import stop_on_signals
from worker.config import load_settings, wants_traces
from worker.errors import ConfigError, ExitCode, TransientError, UnavailableError
from worker.health import Health, HealthServer
from worker.kafka import (
    AtLeastOnceSink,
    KafkaSource,
    SourceSettings,
    TransactionalSink,
    WatchedSource,
    create_topics,
    message_limits,
    missing_topics,
)
from worker.logs import configure, remind
from worker.loop import Loop
from worker.metered import MeteredSink, MeteredSource
from worker.metrics import Metrics
from worker.reuse import reuse_memory
from worker.settings import Settings
from worker.topics import Topics, output_specs
from worker.tracing import open_spans
from worker.types.records import TopicPartition

log = logging.getLogger(__name__)

T = TypeVar("T")
Marks = Callable[[Sequence[TopicPartition]], dict[TopicPartition, int | None]]

START_ATTEMPTS = 5
START_DELAY_S = 2.0


@click.command()
@settings_options
@click.option(
    "--start-at",
    metavar="WHEN",
    help="Where partitions without a committed offset start: "
    "earliest, latest, stored or an ISO time.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64),
              help="Processes here: slots SLOT.0, SLOT.1, ...; ports count up.")  # fmt: skip
def run(
    config: Path | None, assignments: tuple[str, ...], start_at: str | None, workers: int
) -> int:
    """Read alerts, keep light curves, score, publish; until TERM or INT."""
    extra = () if start_at is None else (f"source.start_at={start_at}",)
    settings = load_settings(config, [*assignments, *extra]).settings
    configure(settings.worker.log_format)
    if workers > 1:
        from worker.commands.crew import run_crew

        return run_crew(settings, config, [*assignments, *extra], workers)
    stop = stop_on_signals(settings.worker.shutdown_timeout_s)
    if settings.kafka.common.get("enable.ssl.certificate.verification") is False:
        remind(log, "TLS certificates of the broker are not verified")
    metrics = Metrics(open_spans(settings.slot, wanted=wants_traces()))
    run_worker(settings, metrics, stop)
    return ExitCode.OK


def run_worker(
    settings: Settings, metrics: Metrics, stop: threading.Event, *, test: bool = False
) -> None:
    """Everything between settings and a drained worker; used by `run` and by the demo.

    Raises ConfigError (78), UnavailableError (69) or RestartRequiredError (75).
    """
    health = Health(metrics.ready)
    with ExitStack() as open_parts:
        worker = settings.worker
        if worker.metrics_port:
            server = HealthServer(
                health, metrics.registry, worker.metrics_host, worker.metrics_port
            )
            open_parts.callback(server.close)
        _work(settings, metrics, health, stop, open_parts, test=test)


def _work(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
    open_parts: ExitStack,
    *,
    test: bool,
) -> None:
    from worker.commands.wiring import connect_store, introduce, load_scorer, make_loop

    _require_input(settings)
    limits = prepare_topics(settings)
    store = _persistently(lambda: connect_store(settings), stop)
    open_parts.callback(store.close)
    scorer = load_scorer(settings)
    scorer.share_memo(store.memos())
    introduce(settings, scorer, metrics, health)
    health.state = store.answers
    source, sink = open_ends(settings, store.marks, open_parts)
    loop = make_loop(
        settings,
        MeteredSource(source, metrics, health, store.failures),
        MeteredSink(sink, metrics),
        store,
        scorer,
        metrics,
        stop,
        limits=limits,
        test=test,
    )
    log.info("ready: model %s %s, group %s, slot %s", scorer.name, scorer.version,
             settings.worker.group, settings.slot)  # fmt: skip
    _run(loop, metrics)


def _run(loop: Loop, metrics: Metrics) -> None:
    """Until it is drained."""
    from worker.commands.device import DeviceLostError

    reuse_memory()
    try:
        loop.run()
    except DeviceLostError as error:
        metrics.gpu_oom.inc(error.out_of_memory)
        raise
    log.info("drained")


def open_ends(
    settings: Settings, marks: Marks, open_parts: ExitStack
) -> tuple[WatchedSource, TransactionalSink | AtLeastOnceSink]:
    """Source and sink, the sink open; both end with the stack, the source first."""
    source = make_source(settings, marks)
    sink = make_sink(settings, source)
    open_parts.callback(sink.close)
    open_parts.callback(source.close)
    sink.open()
    return source, sink


def make_source(settings: Settings, marks: Marks) -> WatchedSource:
    """The group member of these settings."""
    source = settings.source
    slot = settings.worker.slot
    return WatchedSource(
        SourceSettings(
            group=settings.worker.group,
            topics=source.topics,
            topic_template=source.topic_template,
            programids=settings.output.programids,
            nights=source.nights,
            redrive_topic=Topics(settings.output.topic).redrive,
            instance_id=None if slot is None else f"{settings.worker.group}.{slot}",
            start_at=source.start_at,
            limits=settings.batch_limits,
        ),
        {**settings.kafka.common, **settings.kafka.consumer},
        marks,
    )


def make_sink(settings: Settings, source: KafkaSource) -> TransactionalSink | AtLeastOnceSink:
    """The sink of the configured guarantee."""
    config = {**settings.kafka.common, **settings.kafka.producer}
    if settings.delivery == "exactly-once":
        return TransactionalSink(config, source, group=settings.worker.group, slot=settings.slot)
    return AtLeastOnceSink(config, source)


def prepare_topics(settings: Settings) -> dict[str, int]:
    """Create or require the output topics, and read their message limits.

    Raises ConfigError when one is missing and must not be created.
    """
    if settings.delivery == "at-least-once" and not settings.output.create_topics:
        return {}  # the mock cluster creates topics by itself and can't describe them
    output = settings.output
    specs = output_specs(Topics(output.topic), output.partitions, output.replication)
    config = dict(settings.kafka.common)
    missing = missing_topics(config, [spec.name for spec in specs])
    if missing and not output.create_topics:
        raise ConfigError(
            f"missing topics: {', '.join(missing)}; create them or set output.create_topics"
        )
    if missing:
        create_topics(config, [spec for spec in specs if spec.name in missing])
    return message_limits({**config, **settings.kafka.producer}, [spec.name for spec in specs])


def _require_input(settings: Settings) -> None:
    if "bootstrap.servers" not in settings.kafka.common:
        raise ConfigError("kafka.common.bootstrap.servers is not set")
    if not settings.source.topics and settings.source.topic_template is None:
        raise ConfigError("neither source.topics nor source.topic_template is set")


def _persistently(call: Callable[[], T], stop: threading.Event) -> T:
    """The start's retry budget: a dependency may come up a little after the worker."""
    for attempt in range(START_ATTEMPTS):
        try:
            return call()
        except TransientError as error:
            log.warning("not reachable yet: %s", error)
            last = error
            if stop.wait(START_DELAY_S * (attempt < START_ATTEMPTS - 1)):
                break
    raise UnavailableError(str(last))
