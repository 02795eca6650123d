"""`bench naive`: the step that most people would write first, on the same input and model.

One message after the other is decoded whole by fastavro, its points are appended to and its
curve read from Redis in one round trip, windows are padded to the model's length and scored 32
at a time in float32 on all cores; every 32 alerts the results are written by fastavro,
flushed, and the offsets committed.
"""

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from worker.commands.bench.crew import Report, Scoring
from worker.commands.bench.options import FILES, MEDIAN, P95, SCORING, server_options
from worker.commands.options import json_option

BATCH = 32
MIN_POINTS = 5
EMIT_P = 0.008
DEFAULT_ALERTS = 2000


@click.command()
@FILES
@click.option("--alerts", default=DEFAULT_ALERTS, show_default=True, type=click.IntRange(BATCH))
@MEDIAN
@P95
@server_options
@SCORING
@json_option
def naive(
    files: tuple[Path, ...],
    alerts: int,
    median: float,
    p95: float,
    bootstrap: str | None,
    redis_url: str | None,
    assignments: tuple[str, ...],
    scoring: Any,
    *,
    as_json: bool,
) -> None:
    """The straightforward step and this worker, one after the other on the same alerts.

    Prints both rates and their ratio; machine and load are the same for both.
    """
    from worker.commands.bench.field import Night, say
    from worker.commands.bench.pipeline import drain
    from worker.commands.bench.servers import servers

    night = Night.of(files, alerts, median, p95)
    with servers(bootstrap, redis_url) as here:
        say("the straightforward step:")
        slow = drain_naively(night, here, scoring, assignments)
        say("this worker:")
        ours = drain(night, here, "ours", scoring, 1, assignments)
    cpu = {name: sum(run["cpu_us_per_alert"].values()) for name, run in
           (("naive", slow), ("ours", ours))}  # fmt: skip
    result = {
        **slow,
        "scoring": scoring,
        "ours_alerts_per_s": ours["alerts_per_s"],
        "ratio": round(ours["alerts_per_s"] / slow["alerts_per_s"], 2),
        "cpu_ratio": round(cpu["naive"] / cpu["ours"], 2),
        "ours": ours,
    }
    click.echo(json.dumps(result) if as_json else text_of(result))


def text_of(result: dict[str, Any]) -> str:
    """The result for people."""
    return (
        f"straightforward: {result['alerts_per_s']:.0f} alerts/s; this worker: "
        f"{result['ours_alerts_per_s']:.0f} alerts/s; {result['ratio']} times as many, "
        f"for {result['cpu_ratio']} times less processor time"
    )


def drain_naively(night: Any, here: Any, scoring: Scoring, extra: Sequence[str]) -> dict[str, Any]:
    """One run of the straightforward step on a fresh topic and state."""
    from worker.commands.bench.crew import crew
    from worker.commands.bench.field import TOPIC, assignments, make_input, produce, seed_state
    from worker.commands.bench.pipeline import result_of
    from worker.commands.bench.servers import cpu_seconds
    from worker.commands.run import prepare_topics
    from worker.config import load_settings

    values = assignments(here.bootstrap, here.redis_url, "naive", extra)
    make_input(here.bootstrap, f"{TOPIC}.naive")
    prepare_topics(load_settings(None, values).settings)
    seed_state(values, night)
    produce(here.bootstrap, f"{TOPIC}.naive", night.packets())
    with crew(values, scoring, 1, run_naively) as team:
        before = cpu_seconds(here.pids)
        team.await_records(night.alerts, limit_s=3600)
        servers_s = [b - a for a, b in zip(before, cpu_seconds(here.pids), strict=True)]
        reports = team.finish()
    return result_of(reports, night.alerts, servers_s)


def run_naively(
    assignments: Sequence[str],
    scoring: Scoring,
    threads: int,
    progress: Any,
    stop: Any,
    ready: Any,
    reports: Any,
) -> None:
    """The consumer process: the loop of the module's first paragraph."""
    import torch
    from confluent_kafka import Consumer, Producer

    from worker.commands.bench.scoring import make_scorer
    from worker.config import load_settings

    torch.set_num_threads(threads)
    settings = load_settings(None, assignments).settings
    scorer = padded(make_scorer(settings, scoring, fast=False))
    step = NaiveStep(settings, scorer, Producer({**settings.kafka.common, "acks": "all"}))
    mine = {"group.id": settings.worker.group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings.kafka.common, **mine, "enable.auto.commit": False})
    consumer.subscribe(list(settings.source.topics))
    ready.release()
    first_s = last_s = cpu_s = 0.0
    done = 0
    while not stop.is_set():
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            if not first_s:
                first_s, cpu_s = time.time(), time.process_time()
            step.take(message.value() or b"")
        if step.waiting >= BATCH or (message is None and step.waiting):
            done += step.finish()
            consumer.commit(asynchronous=False)
            last_s = time.time()
            progress.reach(0, done)  # the only worker: what it has done is all that is done
    spent = time.process_time() - cpu_s
    reports.put(Report(f"{scorer.name} {scorer.version}", first_s, last_s, spent, {}))
    consumer.close()


class NaiveStep:
    """Decode, append, read back, pad, score, write: alert by alert, batch of 32 by batch of 32."""

    def __init__(self, settings: Any, scorer: Any, producer: Any) -> None:
        import redis

        from worker.encode.avro import parsed_schema

        self._redis = redis.Redis.from_url(settings.redis_url)
        self._prefix, self._out = settings.redis.prefix, settings.output.topic
        self._scorer, self._producer = scorer, producer
        self._schema = parsed_schema("score")
        self._alerts: list[tuple[Mapping[str, Any], bytes, Any]] = []
        self.waiting = 0

    def take(self, value: bytes) -> None:
        """Decode a message and fetch its object's curve: one round trip."""
        import fastavro
        import numpy as np

        from worker.types.light_curves import POINT

        packet: Any = next(fastavro.reader(io.BytesIO(value)))
        candidate = packet["candidate"]
        point = np.zeros(1, dtype=POINT)
        for name in ("candid", "jd", "magpsf", "sigmapsf", "magnr", "sigmagnr", "distnr"):
            point[name] = np.nan if candidate[name] is None else candidate[name]
        key = f"{self._prefix}lc:{{{packet['objectId']}}}:{candidate['fid']}"
        pipe = self._redis.pipeline(transaction=False)
        pipe.append(key, point.tobytes())
        pipe.get(key)
        curve = np.frombuffer(pipe.execute()[1], dtype=POINT)
        self.waiting += 1
        if len(curve) >= MIN_POINTS:
            curve = np.sort(curve, order="jd")
            self._alerts.append((packet, value, curve))

    def finish(self) -> int:
        """Score the batch and publish it; records that it ends."""
        import numpy as np

        done, self.waiting = self.waiting, 0
        if not self._alerts:
            return done
        curves = [curve for _, _, curve in self._alerts]
        offsets = np.concatenate([[0], np.cumsum([len(curve) for curve in curves])])
        jd, mag, err = (
            np.concatenate([curve[name] for curve in curves]).astype(np.float64)
            for name in ("jd", "magpsf", "sigmapsf")
        )
        kind = np.zeros(len(curves), dtype=np.uint8)
        scores = self._scorer.score(offsets, jd, mag, err, kind)
        pvalues = self._scorer.p_values("simulated", kind, np.diff(offsets), scores)
        for row, (packet, value, _) in enumerate(self._alerts):
            self._publish(packet, value, float(scores.score[row]), float(pvalues.p[row]))
        self._producer.flush()
        self._alerts.clear()
        return done

    def _publish(self, packet: Mapping[str, Any], value: bytes, score: float, p: float) -> None:
        import fastavro

        candidate, key = packet["candidate"], packet["objectId"].encode()
        record = {field["name"]: _neutral(field["type"]) for field in self._schema["fields"]}
        record.update(
            objectId=packet["objectId"], candid=packet["candid"], jd=candidate["jd"],
            ra=candidate["ra"], dec=candidate["dec"], score=score, p=p,
        )  # fmt: skip
        out = io.BytesIO()
        fastavro.writer(out, self._schema, [record])
        self._producer.produce(f"{self._out}.scores", out.getvalue(), key)
        if p <= EMIT_P:
            self._producer.produce(self._out, value, key)
        self._producer.poll(0)


def padded(scorer: Any) -> Any:
    """The same scorer, its encoder fed with windows that are all padded to its full length."""
    if not hasattr(scorer, "_embedder"):
        return scorer  # the stub
    import torch

    import models.engine

    models.engine.BUCKETS = ()  # this process pads to the window only
    embedder = getattr(scorer._embedder, "full", scorer._embedder)  # noqa: SLF001 - see below
    embedder._budget = BATCH * scorer.window  # noqa: SLF001 - all 32 in one pass
    embedder._pool = None  # noqa: SLF001 - one pass at a time, with every core in it
    torch.set_num_threads(models.engine.cores())
    return scorer


def _neutral(kind: Any) -> Any:
    if isinstance(kind, list):
        return None
    if isinstance(kind, dict):
        return kind["symbols"][0] if kind["type"] == "enum" else []
    return {"string": "", "int": 0, "long": 0}.get(kind, 0.0)
