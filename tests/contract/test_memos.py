"""Period blocks outlive the process in a real Redis, and no Redis is needed for a score."""

import numpy as np
import pytest
import redis

import models.features
from models.features import period_features
from models.memo import PeriodMemo
from models.simulate import simulate_curves
from worker.memos import Memos


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def curves():
    found = simulate_curves(3, 40)
    return found.offsets, found.time, found.mag, found.err


def test_another_process_finds_what_one_computed(client, curves, monkeypatch):
    first = PeriodMemo(Memos(client, "memo-a:"))
    expected = period_features(*curves, first)
    assert first.misses > 5
    keys = client.keys("memo-a:memo:*")
    assert len(keys) == first.misses
    assert all(client.ttl(key) > 0 for key in keys)
    second = PeriodMemo(Memos(client, "memo-a:"))
    monkeypatch.setattr(models.features, "describe_period", forbidden)
    np.testing.assert_array_equal(period_features(*curves, second), expected)
    assert second.misses == 0


def test_a_block_of_another_size_is_computed_anew(client, curves):
    period_features(*curves, PeriodMemo(Memos(client, "memo-b:")))
    for key in client.keys("memo-b:memo:*"):
        client.set(key, b"half a block")
    memo = PeriodMemo(Memos(client, "memo-b:"))
    np.testing.assert_array_equal(period_features(*curves, memo), period_features(*curves))
    assert memo.misses > 5


def test_without_redis_blocks_are_computed(curves):
    away = redis.Redis(port=1, socket_connect_timeout=0.1)
    memo = PeriodMemo(Memos(away, "memo-c:"))
    np.testing.assert_array_equal(period_features(*curves, memo), period_features(*curves))
    assert len(memo) == memo.misses


def forbidden(*_):
    raise AssertionError("a block was computed again")
