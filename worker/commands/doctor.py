"""The probes of `check`: each yields findings, none changes anything."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from worker.commands.doctor_redis import check_redis
from worker.commands.findings import SKEW_S, Finding, Probe
from worker.errors import ConfigError, ExitCode
from worker.settings import Settings

OLD_CALIBRATION_DAYS = 180
SAMPLE = 16
"""Newest records of each input partition that are decoded and scored."""

DRIFT_SAMPLE = 2000
DRIFT_SMALLEST = 300
DRIFT_DISTANCE = 0.15
"""Largest gap between the distribution of p and the uniform one that a calibration may show."""


def check_topics(settings: Settings) -> Iterator[Finding]:
    """Broker, authentication, output and input topics."""
    from worker.kafka import topic_facts

    if "bootstrap.servers" not in settings.kafka.common:
        raise ConfigError("kafka.common.bootstrap.servers is not set")
    found = topic_facts(settings.kafka.common)
    protocol = settings.kafka.common.get("security.protocol", "PLAINTEXT")
    yield Finding("kafka", "ok", f"a broker answers, {protocol}")
    if settings.kafka.common.get("enable.ssl.certificate.verification") is False:
        yield Finding("kafka", "warning", "certificates are not verified", "set ssl.ca.location")
    yield from _output_topics(settings, {n: f.partitions for n, f in found.items()})
    single = sorted(n for n, f in found.items() if f.replicas < 2 and _is_ours(settings, n))
    if single:
        yield Finding("topics", "warning", f"one copy only: {', '.join(single)}",
                      "a lost broker loses them; raise their replication")  # fmt: skip
    names = input_topics(settings)
    there = [name for name in names if name in found]
    if there:
        count = sum(found[name].partitions for name in there)
        yield Finding("input", "ok", f"{len(there)} topics, {count} partitions: so many workers")
    else:
        yield Finding("input", "warning", f"none exists yet of {', '.join(names)}",
                      "a worker waits for them; are source.* and the ACLs right?")  # fmt: skip


def _output_topics(settings: Settings, found: Mapping[str, int]) -> Iterator[Finding]:
    from worker.topics import Topics, output_specs

    output = settings.output
    specs = output_specs(Topics(output.topic), output.partitions, output.replication)
    missing = [spec.name for spec in specs if spec.name not in found]
    if missing and output.create_topics:
        yield Finding("topics", "ok", f"will be created: {', '.join(missing)}")
    elif missing:
        yield Finding(
            "topics",
            "failed",
            f"missing: {', '.join(missing)}",
            "create them or set output.create_topics = true",
            ExitCode.CONFIG,
        )
    else:
        yield Finding("topics", "ok", f"{len(specs)} output topics exist")


def input_topics(settings: Settings) -> list[str]:
    """Fixed topics and the nights of the template, newest first."""
    from worker.topics import nightly_topics

    source = settings.source
    if source.topic_template is None:
        return list(source.topics)
    nights = nightly_topics(
        source.topic_template, settings.output.programids, source.nights, time.time()
    )
    return [*source.topics, *reversed(nights)]


def _is_ours(settings: Settings, name: str) -> bool:
    out = settings.output.topic
    return name == out or name.startswith(f"{out}.")


def check_model(settings: Settings) -> Iterator[Finding]:
    """Digests, golden batch, device, calibration."""
    import torch

    from models import default_artifact
    from worker.commands.wiring import load_scorer

    path = settings.model.path or default_artifact()
    scorer = load_scorer(settings)
    yield Finding("model", "ok", f"{scorer.name} {scorer.version}, sha256 {scorer.sha256[:12]}")
    yield _golden(path)
    name = torch.cuda.get_device_name() if scorer.device == "cuda" else "CPU"
    if scorer.fallback:
        yield Finding("device", "warning", "no GPU works; the model runs on the CPU",
                      "alerts carry the flag cpu_fallback; look at the driver")  # fmt: skip
    else:
        yield Finding("device", "ok", name)
    yield _calibration(settings, calibrated=scorer.is_calibrated(settings.source.survey))


def _golden(path: Path) -> Finding:
    from models.golden import check_artifact

    try:
        seen = check_artifact(path)
    except ValueError as error:
        return Finding("golden", "failed", str(error),
                       "the artefact or the maths library gives other scores: fetch it again",
                       ExitCode.CONFIG)  # fmt: skip
    if not seen["golden_curves"]:
        return Finding("golden", "warning", "the artefact has no golden batch",
                       "nothing shows that this machine scores as its maker's did")  # fmt: skip
    return Finding("golden", "ok", f"{seen['golden_curves']} stored scores come out again")


def _calibration(settings: Settings, *, calibrated: bool) -> Finding:
    survey = settings.source.survey
    if not calibrated:
        return Finding("calibration", "warning", f"none for survey {survey}",
                       "alerts carry a provisional p; run `model calibrate --from-topic` "
                       "after about a week")  # fmt: skip
    ages = [(time.time() - path.stat().st_mtime) / 86400 for path in settings.model.calibrations]
    if not ages:
        return Finding("calibration", "ok", f"survey {survey}, packaged with the model")
    if min(ages) > OLD_CALIBRATION_DAYS:
        return Finding("calibration", "warning", f"survey {survey}, {min(ages):.0f} days old",
                       "make a new one from the live stream")  # fmt: skip
    return Finding("calibration", "ok", f"survey {survey}, {min(ages):.0f} days old")


def check_sample(settings: Settings) -> Iterator[Finding]:
    """The newest input records, decoded and scored with a state of their own."""
    from worker.commands.offline import score_files
    from worker.kafka import newest_records, topic_facts
    from worker.metrics import Metrics

    there = topic_facts(settings.kafka.common)
    names = [name for name in input_topics(settings) if name in there]
    records = next(filter(None, (newest_records(settings.kafka.common, name, SAMPLE)
                                 for name in names)), None)  # fmt: skip
    if records is None:
        yield Finding("sample", "warning", "no input record to try",
                      "try again when the stream flows, or `simulate --topic`")  # fmt: skip
        return
    metrics = Metrics()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.avro") for number in range(len(records))]
        for path, record in zip(paths, records, strict=True):
            path.write_bytes(record.value or b"")
        score_files(settings, paths, metrics)
    counts = metrics.outcome_totals()
    text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    yield _judged(counts, f"{records[0].partition.topic}, newest {len(records)} records: {text}")
    ahead_s = max(record.timestamp_ms for record in records) / 1000 - time.time()
    if ahead_s > SKEW_S:
        yield Finding("clock", "warning", f"the newest record is {ahead_s:.1f} s in the future",
                      "synchronise the clocks: latencies depend on them")  # fmt: skip


def _judged(counts: Mapping[str, int], text: str) -> Finding:
    dead = sum(n for name, n in counts.items() if name.startswith("dead_letter"))
    scored = sum(n for name, n in counts.items() if name.startswith(("emitted", "withheld")))
    if 2 * dead > sum(counts.values()):
        return Finding("sample", "failed", text,
                       "`decode` says more of such a record; is the schema ZTF's?",
                       ExitCode.CONFIG)  # fmt: skip
    if dead:
        return Finding("sample", "warning", text, "`decode` says more of such a record")
    if not scored:
        return Finding(
            "sample",
            "warning",
            text,
            "none was scored: right for young objects; else look at cuts and programids",
        )
    return Finding("sample", "ok", text)


def check_drift(settings: Settings) -> Iterator[Finding]:
    """Whether p is still uniform on the scores topic: the drift watch."""
    from worker.commands.reading import decoded
    from worker.kafka import newest_records, topic_facts
    from worker.topics import Topics

    topic = Topics(settings.output.topic).scores
    if topic not in topic_facts(settings.kafka.common):
        yield Finding("drift", "ok", f"{topic} does not exist yet")
        return
    records = newest_records(settings.kafka.common, topic, DRIFT_SAMPLE)
    rows = [row for record in records if (row := decoded(record)) is not None]
    for kind in sorted({row["magnitude_kind"] for row in rows}):
        p = [row["p"] for row in rows if row["magnitude_kind"] == kind and row["p"] is not None]
        yield drift_of(kind, p)
    if not rows:
        yield Finding("drift", "ok", "no score yet")


def drift_of(kind: str, p: Sequence[float]) -> Finding:
    """How far the distribution of p is from the uniform one (Kolmogorov's distance)."""
    count = len(p)
    if count < DRIFT_SMALLEST:
        return Finding("drift", "ok", f"{kind}: {count} calibrated scores, too few to tell")
    ranked = sorted(p)
    gap = max(max((k + 1) / count - x, x - k / count) for k, x in enumerate(ranked))
    text = f"{kind}: median p {ranked[count // 2]:.2f} of {count}, distance {gap:.2f}"
    if gap > DRIFT_DISTANCE:
        return Finding(
            "drift",
            "warning",
            text,
            "the calibration no longer fits: runbook, ScoreDistributionShift",
        )
    return Finding("drift", "ok", text)


PROBES: Mapping[str, Probe] = {
    "topics": check_topics,
    "redis": check_redis,
    "model": check_model,
    "sample": check_sample,
    "drift": check_drift,
}
