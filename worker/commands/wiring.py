"""Builds the rooms from settings: the one place where everything meets."""

import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from models import default_artifact
from worker.commands.device import GuardedScorer
from worker.connect import Address
from worker.cuts import Cuts
from worker.decode import Decoder
from worker.encode import Encoder
from worker.errors import ConfigError
from worker.health import Health
from worker.judge import EmissionPolicy
from worker.loop import Loop
from worker.metered import MeteredStore
from worker.metrics import Metrics
from worker.read_only import ReadOnlyStore
from worker.rooms import Rooms, Rules, Sink, Source, Store
from worker.settings import Settings
from worker.topics import Topics
from worker.types.judgement import Provenance
from worker.types.records import RecordBatch
from worker.types.scores import Scorer
from worker.window import WindowPolicy, warm_up

S = TypeVar("S", MeteredStore, ReadOnlyStore)

SECONDS_PER_DAY = 86400
DEFAULT_MAX_POLL_INTERVAL_MS = 300_000
"""librdkafka's own default."""


def load_scorer(settings: Settings) -> GuardedScorer:
    """The model of the settings, warmed up; ConfigError when the artefact is missing or broken."""
    path: Path = settings.model.path or default_artifact()
    try:
        return GuardedScorer.open(path, settings.model.device, settings.model.calibrations)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model {path}: {error}") from error


def introduce(settings: Settings, scorer: GuardedScorer, metrics: Metrics, health: Health) -> None:
    """Say who scores, on metrics and /version; the model is warm from here on."""
    survey = settings.source.survey
    worker = {"version": version("anomaly-worker"), "revision": settings.worker.revision}
    model = {
        "name": scorer.name, "version": scorer.version, "sha256": scorer.sha256,
        "device": scorer.device, "dtype": "float32",
    }  # fmt: skip
    metrics.build_info.info(worker)
    metrics.model_info.info(model)
    metrics.calibrated.set(scorer.is_calibrated(survey))
    interval_ms = settings.kafka.consumer.get("max.poll.interval.ms", DEFAULT_MAX_POLL_INTERVAL_MS)
    metrics.max_poll_interval.set(float(interval_ms) / 1000)
    metrics.device_memory.set_function(lambda: float(scorer.device_memory()))
    metrics.device_memory_limit.set(scorer.device_memory_limit())
    metrics.device_fallback.set(scorer.fallback)
    health.version = {
        **worker, "model": model, "survey": survey, "group": settings.worker.group,
        "slot": settings.slot, "calibrated": scorer.is_calibrated(survey),
    }  # fmt: skip
    health.warm = True


def connect_store(settings: Settings) -> MeteredStore:
    """The state; ConfigError when its layout or its programids are not this worker's."""
    return _connected(settings, MeteredStore)


def connect_read_only(settings: Settings) -> ReadOnlyStore:
    """The same, for a replay."""
    return _connected(settings, ReadOnlyStore)


def _connected(settings: Settings, kind: type[S]) -> S:
    redis = settings.redis
    address = Address(
        settings.redis_url,
        redis.mode,
        redis.nodes,
        redis.sentinels,
        redis.service_name,
        redis.sentinel_login,
        redis.timeout_s,
    )
    store = kind.connect(
        address,
        prefix=redis.prefix,
        group=settings.worker.group,
        max_points=redis.max_points,
        ttl_s=int(redis.ttl_days * SECONDS_PER_DAY),
        claim_ttl_s=int(redis.claim_ttl_days * SECONDS_PER_DAY),
    )
    store.check_meta(settings.output.programids)
    return store


def make_decoder(settings: Settings, *, single_record: bool = True) -> Decoder:
    """The decoder with the guard's limits."""
    return Decoder(
        max_message_bytes=settings.source.max_message_bytes,
        accept_unknown_schemas=settings.source.accept_unknown_schemas,
        single_record=single_record,
    )


def make_rules(settings: Settings, scorer: Scorer) -> Rules:
    """What the loop decides by."""
    return Rules(
        provenance=Provenance(
            survey=settings.source.survey,
            model=scorer.name,
            model_version=scorer.version,
            model_sha256=scorer.sha256,
            group=settings.worker.group,
            slot=settings.slot,
            worker_version=version("anomaly-worker"),
            cpu_fallback=getattr(scorer, "fallback", False),
        ),
        window=WindowPolicy(
            cuts=Cuts(
                **settings.cuts.model_dump(), programids=frozenset(settings.output.programids)
            )
        ),
        emission=EmissionPolicy(
            min_percentile=settings.output.min_percentile,
            min_points=settings.output.min_points,
            repeat_factor=settings.output.repeat_factor,
            repeat_days=settings.output.repeat_days,
        ),
        longitude=settings.source.longitude,
        max_dead_letter_share=settings.dead_letters.max_share,
    )


def make_encoder(
    settings: Settings, rules: Rules, scorer: Scorer, *, test: bool, limits: Mapping[str, int]
) -> Encoder:
    """The encoder with the model's names and the topics' size limits."""
    return Encoder(
        Topics(settings.output.topic),
        rules.provenance,
        classes=scorer.classes,
        input_names=scorer.input_names,
        window=scorer.window,
        programids=settings.output.programids,
        cutouts=settings.output.cutouts,
        embedding=settings.output.embedding,
        test=test,
        limits=limits,
    )


def make_loop(
    settings: Settings,
    source: Source,
    sink: Sink,
    store: Store,
    scorer: Scorer,
    metrics: Metrics,
    stop: threading.Event,
    *,
    limits: Mapping[str, int],
    single_record: bool = True,
    test: bool = False,
) -> Loop:
    """The run loop over these parts."""
    rules = make_rules(settings, scorer)
    decoder = make_decoder(settings, single_record=single_record)
    warm_up(decoder.decode(RecordBatch.empty())[0])
    rooms = Rooms(
        source=source,
        decoder=decoder,
        store=store,
        scorer=scorer,
        encoder=make_encoder(settings, rules, scorer, test=test, limits=limits),
        sink=sink,
    )
    return Loop(rooms, rules, metrics, stop)
