"""The light-curve state against a real Redis: merging, claims, emissions, meta."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.states import P0, P1, emptied, merge
from tests.packets import packet, point
from worker.errors import ConfigError, TransientError
from worker.light_curve import merge_points
from worker.store import Store
from worker.types.light_curves import POINT, PointFlag


def curve(curves, row):
    """Candids of a row's curve."""
    start, stop = curves.offsets[row : row + 2]
    return curves.points["candid"][start:stop].tolist()


class TestMerge:
    def test_a_curve_is_the_object_as_of_its_packet(self, store):
        old = point(1, 10.0), point(2, 11.0)
        curves = merge(
            store,
            packet("A", point(3, 12.0), old),
            packet("A", point(5, 14.0), [point(4, 13.0, band=2)]),
            packet("B", point(9, 12.0)),
        )
        assert [curve(curves, row) for row in range(3)] == [[1, 2, 3], [1, 2, 3, 4, 5], [9]]
        assert curves.band.tolist() == [1, 1, 1, 1, 1, 1, 2, 1, 1]
        assert not curves.late.any()

    def test_nothing_that_became_known_later_is_seen(self, store):
        # The second packet brings a point from before the first one's time.
        merge(store, packet("A", point(5, 14.0), [point(1, 10.0)]))
        curves = merge(store, packet("A", point(3, 12.0)))
        assert curve(curves, 0) == [3]
        assert curves.late.tolist() == [True]
        assert curve(merge(store, packet("A", point(6, 15.0))), 0) == [1, 3, 5, 6]

    def test_known_since_is_the_smallest(self, store):
        merge(store, packet("A", point(5, 14.0), [point(1, 10.0)]))
        merge(store, packet("A", point(3, 12.0), [point(1, 10.0)]))
        assert curve(merge(store, packet("A", point(4, 12.5))), 0) == [1, 3, 4]

    def test_only_a_packet_that_is_new_can_be_late(self, store):
        first, second = packet("A", point(3, 12.0)), packet("A", point(5, 14.0))
        assert merge(store, second, first).late.tolist() == [False, True]
        assert merge(store, second, first).late.tolist() == [False, False]

    def test_an_alerts_own_values_beat_a_history_copy(self, store):
        merge(store, packet("A", point(5, 14.0), [point(3, 12.0, magpsf=18.01)]))
        merge(store, packet("A", point(3, 12.0, magpsf=18.0123)))
        curves = merge(store, packet("A", point(6, 15.0), [point(3, 12.0, magpsf=17.99)]))
        assert curves.points["magpsf"][0] == np.float32(18.0123)
        assert curves.points["flags"][0] & PointFlag.OWN

    def test_what_is_not_public_is_neither_merged_nor_given_a_curve(self, store, client, unique):
        curves = merge(
            store, packet("A", point(1, 10.0)), packet("B", point(2, 10.0)), public=[True, False]
        )
        assert np.diff(curves.offsets).tolist() == [1, 0]
        assert client.keys(f"{unique}:lc:{{B}}:*") == []

    def test_an_empty_batch(self, store):
        curves = merge(store, p0=5)
        assert curves.offsets.tolist() == [0]
        assert store.marks([P0]) == {P0: 5}

    def test_only_the_newest_points_are_kept(self, stores):
        store = stores(max_points=4)
        history = [point(n, 10.0 + n) for n in range(8)]
        merge(store, packet("A", point(8, 18.0), history))
        assert curve(merge(store, packet("A", point(9, 19.0))), 0) == [6, 7, 8, 9]
        # An older packet is scored from what is there; its own point does not fit any more.
        assert curve(merge(store, packet("A", point(7, 17.0), history)), 0) == [6, 7]

    def test_a_candid_with_two_times_is_one_point(self, store, client, unique):
        # Longer than what the script looks through, so it finds the second time new.
        history = [point(n, 10.0 + n) for n in range(30)]
        merge(store, packet("A", point(30, 40.0), history))
        curves = merge(store, packet("A", point(31, 42.0), [point(1, 41.0)]))
        assert client.strlen(f"{unique}:lc:{{A}}:1") == 33 * POINT.itemsize
        assert sorted(curve(curves, 0)) == list(range(32))
        told = as_points([(1, jd, 42.0, 18.0, 0) for jd in (11.0, 41.0)])
        [winner] = merge_points(told, 512)["jd"]
        assert curves.points["jd"][curve(curves, 0).index(1)] == winner
        again = merge(store, packet("A", point(32, 43.0)))
        assert curve(again, 0) == [*curve(curves, 0), 32]

    @pytest.mark.parametrize("points", [40, 200, 500])
    def test_a_growing_curve_takes_no_more_room_than_its_records(
        self, store, client, unique, points
    ):
        for n in range(points):
            merge(store, packet("A", point(n, 2459000.0 + n)))
        used = client.memory_usage(f"{unique}:lc:{{A}}:1")
        assert used < 1.25 * points * POINT.itemsize + 200  # sizes of an allocator's classes

    def test_every_merge_puts_the_end_of_life_off(self, stores, client, unique):
        store = stores(ttl_s=1000)
        merge(store, packet("A", point(1, 10.0)))
        key = f"{unique}:lc:{{A}}:1"
        client.expire(key, 5)
        merge(store, packet("A", point(1, 10.0)))
        assert client.ttl(key) > 900
        assert client.memory_usage(key) < 400

    def test_a_server_that_forgot_the_scripts(self, store, client):
        merge(store, packet("A", point(1, 10.0)))
        client.script_flush()
        assert curve(merge(store, packet("A", point(2, 11.0))), 0) == [1, 2]

    @pytest.mark.parametrize(
        ("name", "value", "usual"), [("min-replicas-to-write", 1, 0), ("maxmemory", 1, 0)]
    )
    def test_a_server_that_refuses_writes_for_now_is_transient(
        self, store, client, name, value, usual
    ):
        client.config_set(name, value)
        try:
            with pytest.raises(TransientError, match="merge"):
                merge(store, packet("A", point(1, 10.0)))
        finally:
            client.config_set(name, usual)
        assert curve(merge(store, packet("A", point(1, 10.0))), 0) == [1]


POINTS = st.builds(
    lambda candid, jd, since, mag, own: (candid, jd, since, mag, PointFlag.OWN * own),
    st.integers(-9, 9) | st.sampled_from([2**62, 2**62 + 1, -(2**62)]),
    st.sampled_from([0.0, 2459000.25, 2459000.5, 2459000.75, 2459001.0, 2460000.0]),
    st.sampled_from([2459001.0, 2459002.0, 2460001.0]),
    st.sampled_from([17.5, 18.0, 18.25, 19.0]),
    st.booleans(),
)


def as_points(rows):
    points = np.zeros(len(rows), POINT)
    for name, column in zip(
        ("candid", "jd", "known_since", "magpsf", "flags"), zip(*rows, strict=True), strict=True
    ):
        points[name] = column
    return points


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(POINTS, min_size=1, max_size=20),
    kept=st.sampled_from([2, 9, 16, 512]),
    data=st.data(),
)
def test_the_script_is_the_pure_rule_in_any_order_with_any_repeats(
    stores, client, unique, rows, kept, data
):
    """Equal sets of points give equal bytes, however they are cut up, ordered and repeated.

    A few more than the newest may lie before these.
    """
    # A detection has one time, however often it is told.
    times = {candid: jd for candid, jd, *_ in rows}
    rows = [(candid, times[candid], *rest) for candid, _, *rest in rows]
    store = stores(max_points=kept)
    order = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows)))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=12)))
    emptied(client, unique)
    for start, stop in zip([0, *cuts], [*cuts, len(order)], strict=True):
        points = as_points(order[start:stop]) if start < stop else np.zeros(0, POINT)
        store.seed(["A"] * len(points), points, np.ones(len(points), np.uint8))
    expected = merge_points(as_points(rows), kept)
    whole = client.get(f"{unique}:lc:{{A}}:1")
    stored = whole[-kept * POINT.itemsize :]
    assert stored == expected.tobytes()
    assert len(whole) <= (kept + -(-kept // 16)) * POINT.itemsize
    assert client.strlen(f"{unique}:lc:{{A}}:1") % POINT.itemsize == 0
    assert np.frombuffer(stored, POINT)["candid"].tolist() == expected["candid"].tolist()


@pytest.mark.parametrize("kept", [64, 512])
def test_long_curves_are_the_pure_rule_too(stores, client, unique, kept):
    """Packets with their last month, mostly in turn, some late, some from long ago."""
    rng = np.random.default_rng(kept)
    candids = 3 * np.arange(300) * rng.choice([-1, 1], 300)
    facts = [
        (int(c), 2459000.0 + n // 3, 2459000.0 + n + 9 * k, 18.0 + k / 4, int(k == 0) * 2)
        for n, c in enumerate(candids) for k in range(3)
    ]  # fmt: skip
    store, told = stores(max_points=kept), []
    client.config_resetstat()
    ends = np.clip(np.arange(1, 301) + rng.integers(-4, 5, 300) * (rng.random(300) < 0.2), 1, 300)
    for end in [*ends.tolist(), 40, 150, 300]:
        first = max(0, end - int(rng.integers(1, 12)))
        part = [facts[3 * n + int(rng.integers(0, 3))] for n in range(first, end)]
        store.seed(["A"] * len(part), as_points(part), np.ones(len(part), np.uint8))
        told += part
        stored = client.get(f"{unique}:lc:{{A}}:1")[-kept * POINT.itemsize :]
        assert stored == merge_points(as_points(told), kept).tobytes()
    used = client.info("commandstats")
    # All ways were taken: behind the curve, among its newest, and the whole of it.
    assert all(used[f"cmdstat_{name}"]["calls"] > 5 for name in ("append", "setrange", "set"))


class TestClaims:
    @staticmethod
    def claim(store, *rows):
        names, candids, positions = zip(*rows, strict=True)
        return store.claim(names, np.array(candids), positions).first.tolist()

    def test_the_first_wins_a_replay_keeps_it_another_position_is_a_duplicate(self, store):
        assert self.claim(store, ("A", 1, (P0, 5)), ("A", 2, (P0, 6))) == [True, True]
        assert self.claim(store, ("A", 1, (P0, 5)), ("A", 1, (P1, 5))) == [True, False]
        assert self.claim(store, ("A", 1, (P0, 9)), ("A", 2, (P0, 6))) == [False, True]

    def test_twins_in_one_batch(self, store):
        assert self.claim(store, ("A", 1, (P0, 5)), ("A", 1, (P0, 6))) == [True, False]

    def test_groups_claim_for_themselves(self, stores):
        assert self.claim(stores(group="a"), ("A", 1, (P0, 5))) == [True]
        assert self.claim(stores(group="b"), ("A", 1, (P0, 6))) == [True]

    def test_claims_end(self, stores, client, unique):
        store = stores(claim_ttl_s=100)
        self.claim(store, ("A", 1, (P0, 5)))
        assert 90 < client.ttl(f"{unique}:claim:g:{{A}}:1") <= 100

    def test_nothing_to_claim(self, store):
        claims = store.claim([], np.array([], np.int64), [])
        assert (len(claims.first), len(claims.emissions)) == (0, 0)


class TestEmissions:
    def test_the_newest_32_come_back_oldest_first(self, store):
        for n in range(40):
            store.remember(["A"], np.array([n]), np.array([100.0 + n]), np.array([0.001 * n]))
        store.remember(["A"], np.array([39]), np.array([139.0]), np.array([0.039]))
        claims = store.claim(["A", "B"], np.array([1, 2]), [(P0, 1), (P0, 2)])
        assert [e.candid for e in claims.emissions[0]] == list(range(8, 40))
        assert (claims.emissions[0][0].jd, claims.emissions[0][0].p) == (108.0, 0.008)
        assert list(claims.emissions[1]) == []

    def test_repeating_the_call_changes_nothing(self, store):
        for _ in range(3):
            store.remember(["A"], np.array([2**62]), np.array([2459000.123456]), np.array([1e-9]))
        claims = store.claim(["A"], np.array([1]), [(P0, 1)])
        assert [(e.candid, e.p) for e in claims.emissions[0]] == [(2**62, 1e-9)]


class TestMeta:
    def test_a_state_of_other_programids_is_refused(self, stores, unique):
        stores().check_meta([1])
        stores().check_meta([1])
        with pytest.raises(ConfigError, match="another redis"):
            stores().check_meta([1, 2])
        stores(prefix=f"{unique}:b:").check_meta([2])

    def test_a_state_of_another_layout_is_refused(self, stores, client, unique):
        client.set(f"{unique}:meta", '{"layout": 99, "programids": [1]}')
        with pytest.raises(ConfigError, match="layout"):
            stores().check_meta([1])


class TestAway:
    def test_nobody_there(self):
        with pytest.raises(TransientError, match="redis connect"):
            Store.connect("redis://127.0.0.1:1/0", prefix="p:", group="g")

    def test_an_address_that_is_none(self):
        with pytest.raises(ConfigError, match="redis://"):
            Store.connect("http://there", prefix="p:", group="g")
