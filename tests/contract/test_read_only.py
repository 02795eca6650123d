"""A replay sees what the live worker saw and leaves no trace."""

import numpy as np
import pytest

from tests.contract.states import P0, P1, merge
from tests.packets import packet, point
from worker.read_only import ReadOnlyStore


@pytest.fixture
def reader(redis_url, unique):
    store = ReadOnlyStore.connect(redis_url, prefix=f"{unique}:", group="g")
    yield store
    store.close()


PACKETS = (
    packet("A", point(3, 12.0), [point(1, 10.0), point(2, 11.0, band=2)]),
    packet("B", point(9, 12.0)),
    packet("A", point(5, 14.0)),
)


def test_curves_are_those_of_the_live_worker(store, reader, client, unique):
    live = merge(store, *PACKETS, p0=3)
    before = {key: client.dump(key) for key in client.keys(f"{unique}:*")}
    read = merge(reader, *PACKETS, p0=99)
    assert read.points.tobytes() == live.points.tobytes()
    assert read.offsets.tolist() == live.offsets.tolist()
    assert read.band.tolist() == live.band.tolist()
    assert {key: client.dump(key) for key in client.keys(f"{unique}:*")} == before


def test_an_object_that_the_state_does_not_hold_has_no_curve(store, reader):
    assert merge(reader, *PACKETS).offsets.tolist() == [0, 0, 0, 0]
    assert merge(reader, *PACKETS, public=[False] * 3).offsets.tolist() == [0, 0, 0, 0]


def test_claims_and_emissions_are_read(store, reader, client, unique):
    store.claim(["A"], np.array([3]), [(P0, 7)])
    store.remember(["A"], np.array([1]), np.array([10.0]), np.array([0.25]))
    before = client.keys(f"{unique}:*")
    claims = reader.claim(
        ["A", "A", "B"], np.array([3, 3, 9]), [(P0, 7), (P1, 7), (P0, 8)]
    )  # fmt: skip
    assert claims.first.tolist() == [True, False, True]
    assert [(e.candid, e.jd, e.p) for e in claims.emissions[0]] == [(1, 10.0, 0.25)]
    assert list(claims.emissions[2]) == []
    reader.remember(["A"], np.array([3]), np.array([12.0]), np.array([0.5]))
    assert sorted(client.keys(f"{unique}:*")) == sorted(before)
