"""Marks in a real Redis: a state that lost its tail is noticed, and rebuilt."""

import pytest
from redis.cluster import key_slot

from tests.contract.states import P0, P1, emptied, merge
from tests.packets import packet, point
from worker.errors import RestartRequiredError


class TestMarks:
    def test_one_tag_in_each_sixteenth_of_the_slots(self, store, client, unique):
        merge(store, p0=5)
        keys = client.keys(f"{unique}:mark:g:*")
        assert sorted(key_slot(key) // 1024 for key in keys) == list(range(16))

    def test_marks_rise_and_never_fall(self, stores):
        one, two = stores(), stores()
        merge(one, p0=5, p1=3)
        merge(two, p0=4, p1=9)
        assert one.marks([P0, P1]) == {P0: 5, P1: 9}

    def test_unknown_partitions_and_groups_have_none(self, stores):
        merge(stores(), p0=5)
        assert stores().marks([P0, P1]) == {P0: 5, P1: None}
        assert stores(group="other").marks([P0]) == {P0: None}
        assert stores().marks([]) == {}

    def test_a_missing_tag_counts_as_no_mark(self, store, client, unique):
        merge(store, p0=5)
        client.delete(client.keys(f"{unique}:mark:g:*")[3])
        assert store.marks([P0]) == {P0: None}

    def test_a_lost_tail_is_noticed_in_mid_run_and_by_the_next_start(self, stores, client, unique):
        store = stores()
        merge(store, packet("A", point(1, 10.0)), p0=5)
        saved = self.saved(client, unique)
        merge(store, packet("A", point(2, 11.0)), p0=8)
        self.restored(client, unique, saved)
        with pytest.raises(RestartRequiredError, match=r"mark of in/0 is 5, 8 was written"):
            merge(store, packet("A", point(3, 12.0)), p0=10)
        # The batch that noticed must not hide the hole from the process that repairs it.
        after = stores()
        assert after.marks([P0]) == {P0: 5}
        merge(after, packet("A", point(2, 11.0)), p0=8)
        merge(after, packet("A", point(3, 12.0)), p0=10)
        assert after.marks([P0]) == {P0: 10}

    def test_one_tag_that_lost_its_tail_is_enough(self, stores, client, unique):
        store = stores()
        merge(store, p0=5)
        saved = self.saved(client, unique)
        merge(store, p0=8)
        key = sorted(saved)[7]
        self.restored(client, unique, {key: saved[key]})
        with pytest.raises(RestartRequiredError):
            merge(store, p0=10)
        assert stores().marks([P0]) == {P0: 5}

    def test_an_emptied_state_is_noticed(self, stores, client, unique):
        store = stores()
        merge(store, packet("A", point(1, 10.0)), p0=5)
        emptied(client, unique)
        with pytest.raises(RestartRequiredError, match="missing"):
            merge(store, p0=8)
        assert stores().marks([P0]) == {P0: None}

    def test_a_loss_between_assignment_and_first_batch_is_noticed(self, stores, client, unique):
        merge(stores(), p0=5)
        store = stores()
        assert store.marks([P0]) == {P0: 5}
        emptied(client, unique)
        with pytest.raises(RestartRequiredError):
            merge(store, p0=8)

    def test_two_merges_side_by_side_see_each_other_as_no_loss(self, stores):
        store = stores()
        merge(store, p0=80)
        first, second = store._marks.raising({P0: 120}), store._marks.raising({P0: 160})
        before = [[b"80"]] * 16  # the second came first under every tag
        second.check(before)
        first.check([[b"160"]] * 16)
        third = store._marks.raising({P0: 200})
        with pytest.raises(RestartRequiredError, match="160 was written"):
            third.check([[b"120"]] * 16)
        # What one writes while the other is on its way counts only for those that follow.
        fourth, fifth = store._marks.raising({P0: 180}), store._marks.raising({P0: 200})
        fifth.check([[b"160"]] * 16)
        fourth.check([[b"160"]] * 16)

    def test_a_partition_that_comes_back_during_a_rebuild_is_no_loss(self, stores, client, unique):
        store = stores()
        merge(store, p0=5)
        saved = self.saved(client, unique)
        merge(store, p0=8)
        self.restored(client, unique, saved)
        assert store.marks([P0]) == {P0: 5}
        merge(store, p0=6)
        assert store.marks([P0]) == {P0: 6}

    @staticmethod
    def saved(client, unique):
        return {key: client.dump(key) for key in client.keys(f"{unique}:*")}

    @staticmethod
    def restored(client, unique, saved):
        if len(saved) > 1:
            emptied(client, unique)
        for key, content in saved.items():
            client.restore(key, 0, content, replace=True)
