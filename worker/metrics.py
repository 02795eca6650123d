"""Every metric of the worker, by name (specification: operations 1.2)."""

import time
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    start_http_server,
)

P = ParamSpec("P")
R = TypeVar("R")

_STAGE_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_LATENCY_BUCKETS = (0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Metrics:
    """The worker's metrics on a registry of their own; labels never hold an objectId."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "anomaly_worker_records",
            "Records by outcome; names as in the ledger",
            ["outcome"],
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "anomaly_worker_stage_seconds",
            "Time per batch and stage",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self.batch_alerts = Histogram(
            "anomaly_worker_batch_alerts",
            "Records per batch",
            buckets=(1, 4, 16, 64, 256, 1024, 4096),
            registry=self.registry,
        )
        self.end_to_end_seconds = Histogram(
            "anomaly_worker_end_to_end_seconds",
            "Input message timestamp to output acknowledged",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.transient_errors = Counter(
            "anomaly_worker_transient_errors",
            "Calls that are repeated because a dependency was away",
            registry=self.registry,
        )
        self.aborted_batches = Counter(
            "anomaly_worker_aborted_batches",
            "Transactions that were aborted and rewound",
            registry=self.registry,
        )
        self.rebuilt_records = Counter(
            "anomaly_worker_rebuilt_records",
            "Records below the committed offset that were merged again into a lost state",
            registry=self.registry,
        )
        self.last_poll = Gauge(
            "anomaly_worker_last_poll_timestamp_seconds",
            "When the loop last polled",
            registry=self.registry,
        )
        self.model_info = Info(
            "anomaly_worker_model", "The model that scores", registry=self.registry
        )

    def serve(self, port: int) -> None:
        """Expose the metrics over HTTP, on loopback."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def timed(self, stage: str, call: Callable[P, R]) -> Callable[P, R]:
        """The same call, its duration observed under `stage`."""
        histogram = self.stage_seconds.labels(stage)

        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                histogram.observe(time.perf_counter() - start)

        return measured

    def count_outcomes(self, counts: Mapping[str, int]) -> None:
        """Add a batch's outcomes."""
        for outcome, count in counts.items():
            self.records.labels(outcome).inc(count)

    def outcome_totals(self) -> dict[str, int]:
        """Records per outcome since the start."""
        return {
            sample.labels["outcome"]: int(sample.value)
            for metric in self.records.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    def stage_totals(self) -> dict[str, float]:
        """Seconds spent per stage since the start."""
        return {
            sample.labels["stage"]: sample.value
            for metric in self.stage_seconds.collect()
            for sample in metric.samples
            if sample.name.endswith("_sum")
        }
