"""Every metric of the worker, by name (specification: operations 1.2).

Outcomes are those of the ledger: `alerts_total` has the kinds, the `*_total{reason}` beside it
the reasons. Every label that is known beforehand starts at zero, so that the first event shows.
"""

import math
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from worker.tracing import NO_SPANS, Spans
from worker.types.arrays import Float64, Integers
from worker.types.outcomes import OUTCOMES

P = ParamSpec("P")
R = TypeVar("R")

PREFIX = "anomaly_worker_"

STAGE_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LATENCY_BUCKETS = (0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
SCORE_BUCKETS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
POINT_BUCKETS = (5, 10, 20, 50, 100, 200, 500)
BATCH_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096)

RECENT = 1000
QUANTILES = (0.1, 0.5, 0.9, 0.99)

_KINDS = {"emitted": "scored", "withheld": "scored"}
"""Kinds of `alerts_total` where they differ from the first word of the outcome."""


class Metrics:
    """The worker's metrics on a registry of their own; labels never hold an objectId.

    `spans`: what a stage is traced by.
    """

    def __init__(self, spans: Spans = NO_SPANS) -> None:
        self.spans = spans
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._outcome_counters()
        self._failure_counters()
        self._histograms()
        self._gauges()
        self._recent_scores: deque[float] = deque(maxlen=RECENT)
        self._recent_p: deque[float] = deque(maxlen=RECENT)
        self.build_info = self._info("build", "Version and revision of the worker")
        self.model_info = self._info("model", "The model that scores, and on what device")

    def _outcome_counters(self) -> None:
        self.alerts = self._counter("alerts", "Alerts by outcome", "outcome")
        self.withheld = self._counter("withheld", "Scored, not emitted", "reason")
        self.skipped = self._counter("skipped", "Merged or dropped, not scored", "reason")
        self.rejected = self._counter("decode_rejected", "Dead letters", "reason")
        self.emitted = self._counter("emitted", "Messages acknowledged, ledger included", "topic")
        self._reasons = {
            "withheld": self.withheld, "skipped": self.skipped, "dead_letter": self.rejected,
        }  # fmt: skip
        self._totals: Counts[str] = Counts()
        self.count_outcomes(dict.fromkeys(OUTCOMES, 0))

    def _failure_counters(self) -> None:
        self.transient_errors = self._counter(
            "transient_errors", "Calls that are repeated because a dependency was away"
        )
        self.redis_errors = self._counter("redis_errors", "Failed calls of the state", "op")
        self.produce_errors = self._counter(
            "produce_errors", "Commits that did not succeed", "reason"
        )
        self.aborted_batches = self._counter(
            "aborted_batches", "Transactions that were aborted and rewound"
        )
        self.rebalances = self._counter("rebalances", "Changes of the assignment")
        self.gpu_oom = self._counter("gpu_oom", "Batches that the device had no memory for")
        self.rebuilt_records = self._counter(
            "rebuilt_records",
            "Records below the committed offset that were merged again into a lost state",
        )
        self.lost_to_retention = self._counter(
            "lost_to_retention", "Uncommitted records that the input's retention dropped"
        )
        self.state_gap = self._counter(
            "state_gap", "Records that the state lacks and the input no longer holds"
        )

    def _histograms(self) -> None:
        self.stage_seconds = self._histogram(
            "stage_seconds", "Time per batch and stage", STAGE_BUCKETS, "stage"
        )
        self.batch_alerts = self._histogram("batch_alerts", "Records per batch", BATCH_BUCKETS)
        self.end_to_end_seconds = self._histogram(
            "end_to_end_seconds", "Input message timestamp to output acknowledged", LATENCY_BUCKETS
        )
        self.score = self._histogram("score", "Ranking score: drift at a glance", SCORE_BUCKETS)
        self.light_curve_points = self._histogram(
            "light_curve_points", "Points of the scored windows", POINT_BUCKETS
        )

    def _gauges(self) -> None:
        self.lag = self._gauge(
            "consumer_lag_messages", "End of the log - position", "topic", "partition"
        )
        self.in_flight = self._gauge("in_flight_alerts", "Records read and not yet committed")
        self.paused = self._gauge(
            "paused_partitions", "Partitions that wait for their start or a dependency"
        )
        self.assigned = self._gauge("assigned_partitions", "Partitions that this worker reads")
        self.last_poll = self._gauge(
            "last_poll_timestamp_seconds", "When the loop last polled or kept its membership"
        )
        self.last_emit = self._gauge(
            "last_emit_timestamp_seconds", "When a commit was last acknowledged"
        )
        self.max_poll_interval = self._gauge(
            "max_poll_interval_seconds", "Silence after which the group drops this worker"
        )
        self.device_memory = self._gauge(
            "device_memory_bytes", "Memory that the model holds on its GPU; 0 on a CPU"
        )
        self.device_memory_limit = self._gauge(
            "device_memory_limit_bytes", "Memory of that GPU; 0 on a CPU"
        )
        self.device_fallback = self._gauge(
            "device_fallback", "1 when a build for a GPU runs on the CPU because none works"
        )
        self.score_quantile = self._gauge(
            "score_quantile", "Quantiles of the last 1,000 scores", "q"
        )
        self.p_median = self._gauge(
            "p_median", "Of the last 1,000 calibrated alerts: 0.5 while the calibration holds"
        )
        self.p_median.set(math.nan)
        self.calibrated = self._gauge("calibrated", "1 when the survey has its own calibration")
        self.ready = self._gauge("ready", "1 while /readyz answers 200")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def _info(self, name: str, text: str) -> Info:
        return Info(PREFIX + name, text, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

    def timed(self, stage: str, call: Callable[P, R]) -> Callable[P, R]:
        """The same call, its duration observed under `stage`, in a span where traces are on."""
        histogram = self.stage_seconds.labels(stage)
        traced = self.spans.around(stage, call)

        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            start = time.perf_counter()
            try:
                return traced(*args, **kwargs)
            finally:
                histogram.observe(time.perf_counter() - start)

        return measured

    def count_outcomes(self, counts: Mapping[str, int]) -> None:
        """Add a batch's outcomes (words of `worker.types.outcomes.OUTCOMES`)."""
        for outcome, count in counts.items():
            word, _, reason = outcome.partition(".")
            self._totals[outcome] += count
            self.alerts.labels(_KINDS.get(word, word)).inc(count)
            if reason:
                self._reasons[word].labels(reason).inc(count)

    def observe_scores(self, n_points: Integers, score: Float64, p: Float64) -> None:
        """Add a batch's windows; the rolling quantiles follow the last 1,000."""
        for points, value in zip(n_points.tolist(), score.tolist(), strict=True):
            self.light_curve_points.observe(points)
            if math.isfinite(value):
                self.score.observe(value)
                self._recent_scores.append(value)
        self._recent_p.extend(p[np.isfinite(p)].tolist())
        if self._recent_scores:
            values = np.quantile(self._recent_scores, QUANTILES)
            for q, value in zip(QUANTILES, values.tolist(), strict=True):
                self.score_quantile.labels(str(q)).set(value)
        if self._recent_p:
            self.p_median.set(float(np.median(self._recent_p)))

    def outcome_totals(self) -> dict[str, int]:
        """Alerts per outcome since the start, those that occurred."""
        return {outcome: count for outcome, count in list(self._totals.items()) if count}

    def stage_totals(self) -> dict[str, float]:
        """Seconds spent per stage since the start."""
        return {
            sample.labels["stage"]: sample.value
            for metric in self.stage_seconds.collect()
            for sample in metric.samples
            if sample.name.endswith("_sum")
        }
