import numpy as np
import pytest

from worker.errors import BatchAbortedError, TransientError
from worker.health import Health
from worker.metered import MeteredSink, MeteredSource
from worker.metrics import Metrics
from worker.types.outcomes import OUTCOMES
from worker.types.records import Message, TopicPartition

ONE = TopicPartition("alerts", 0)
TWO = TopicPartition("alerts", 1)


@pytest.fixture
def metrics():
    return Metrics()


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"anomaly_worker_{name}", labels)


class Source:
    """A source under the test's thumb."""

    def __init__(self):
        self.rebalances, self.joined, self.paused, self.ends = 0, False, 0, {}
        self.lost_to_retention, self.state_gap = {}, {}
        self.records, self.failure = [], None

    def poll_batch(self):
        if self.failure:
            raise self.failure
        return self.records

    def heartbeat(self):
        pass

    def lag(self):
        return self.ends


class Sink:
    failure = None

    def commit(self, _messages, _next_offsets):
        if self.failure:
            raise self.failure


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def health(metrics):
    return Health(metrics.ready)


@pytest.fixture
def metered(source, metrics, health, monkeypatch):
    monkeypatch.setattr("worker.metered.LOOK_EVERY_S", 0.0)
    return MeteredSource(source, metrics, health, {"merge": 2})


def test_every_outcome_starts_at_zero_and_is_counted_once(metrics):
    for outcome in OUTCOMES:
        word, _, reason = outcome.partition(".")
        if reason:
            name = {"dead_letter": "decode_rejected"}.get(word, word)
            assert value(metrics, f"{name}_total", reason=reason) == 0
    metrics.count_outcomes({"emitted": 2, "withheld.below": 3, "skipped.short": 4, "duplicate": 1})
    metrics.count_outcomes({"dead_letter.truncated": 5})
    kinds = ("scored", "skipped", "duplicate", "dead_letter")
    assert [value(metrics, "alerts_total", outcome=k) for k in kinds] == [5, 4, 1, 5]
    assert value(metrics, "withheld_total", reason="below") == 3
    assert value(metrics, "decode_rejected_total", reason="truncated") == 5
    assert sum(metrics.outcome_totals().values()) == 15


def test_scores_and_quantiles(metrics):
    assert np.isnan(value(metrics, "p_median"))
    points = np.array([10, 20, 300])
    metrics.observe_scores(points, np.array([1.0, np.nan, 3.0]), np.array([0.2, np.nan, 0.4]))
    assert value(metrics, "score_count") == 2
    assert value(metrics, "light_curve_points_count") == 3
    assert value(metrics, "score_quantile", q="0.5") == 2.0
    assert value(metrics, "p_median") == pytest.approx(0.3)
    metrics.observe_scores(np.array([], int), np.array([]), np.array([]))
    assert value(metrics, "score_count") == 2


def test_a_source_ticks_and_shows_where_it_stands(metered, source, metrics, health):
    source.ends = {ONE: 7, TWO: 1}
    source.rebalances, source.lost_to_retention = 1, {ONE: 3}
    source.joined, source.records = True, [1, 2]
    metered.poll_batch()
    assert health.alive
    assert health.joined
    assert health.broker
    assert value(metrics, "consumer_lag_messages", topic="alerts", partition="0") == 7
    assert value(metrics, "assigned_partitions") == 2
    assert value(metrics, "in_flight_alerts") == 2
    assert value(metrics, "rebalances_total") == 1
    assert value(metrics, "lost_to_retention_total") == 3
    assert value(metrics, "redis_errors_total", op="merge") == 2
    source.ends = {ONE: 5}
    source.rebalances = 3
    metered.heartbeat()
    assert value(metrics, "consumer_lag_messages", topic="alerts", partition="0") == 5
    assert value(metrics, "consumer_lag_messages", topic="alerts", partition="1") is None
    assert value(metrics, "rebalances_total") == 3
    assert value(metrics, "redis_errors_total", op="merge") == 2


def test_a_broker_that_is_away_is_not_ready_but_alive(metered, source, health):
    source.joined = True
    metered.poll_batch()
    source.failure = TransientError("away")
    with pytest.raises(TransientError):
        metered.poll_batch()
    assert health.alive
    assert not health.broker


def test_messages_are_counted_when_they_are_acknowledged(metrics):
    sink = Sink()
    metered = MeteredSink(sink, metrics)
    messages = [Message("out", b"k", b"v"), Message("out", b"k", b"v"), Message("dlq", None, b"")]
    sink.failure = BatchAbortedError("rebalance")
    with pytest.raises(BatchAbortedError):
        metered.commit(messages, {})
    assert value(metrics, "emitted_total", topic="out") is None
    assert value(metrics, "produce_errors_total", reason="aborted") == 1
    sink.failure = None
    metered.commit(messages, {})
    assert value(metrics, "emitted_total", topic="out") == 2
    assert value(metrics, "last_emit_timestamp_seconds") > 0
