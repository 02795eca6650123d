"""The books balance exactly when every offset is told once and every sum is right."""

import random

from hypothesis import given
from hypothesis import strategies as st

from worker.ledger import check


def book(topic, partition, start, stop, counts):
    outcomes = [{"night": "20260101", "outcome": o, "count": n} for o, n in counts.items()]
    return {
        "group": "g",
        "partitions": [
            {"topic": topic, "partition": partition, "start": start, "next": stop,
             "records": sum(counts.values()), "outcomes": outcomes}
        ],
    }  # fmt: skip


WIDTHS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2)),
    st.lists(st.integers(1, 9), min_size=3, max_size=6),
    min_size=1,
)


def books_of(widths):
    books = []
    for (topic, partition), spans in widths.items():
        at = 5
        for width in spans:
            counts = {"duplicate": width // 2, "emitted": width - width // 2}
            books.append(book(topic, partition, at, at + width, counts))
            at += width
    return books


@given(widths=WIDTHS, seed=st.integers())
def test_whole_books_balance_in_any_order(widths, seed):
    books = books_of(widths)
    random.Random(seed).shuffle(books)
    report = check(books)
    assert report.balanced
    assert report.records == sum(map(sum, widths.values()))


@given(widths=WIDTHS, data=st.data())
def test_a_record_dropped_doubled_or_miscounted_is_found(widths, data):
    books = books_of(widths)
    place = data.draw(st.sampled_from(sorted(widths)))
    mine = [b for b in books if (b["partitions"][0]["topic"], b["partitions"][0]["partition"])
            == place]  # fmt: skip
    victim = data.draw(st.sampled_from(mine[1:-1]))
    fault = data.draw(st.sampled_from(["drop", "double", "count", "shift"]))
    part = victim["partitions"][0]
    if fault == "drop":
        books.remove(victim)
    elif fault == "double":
        books.append(victim)
    elif fault == "count":
        part["outcomes"][-1]["count"] += 1
    else:
        part["start"] += data.draw(st.sampled_from([-1, 1]))
    report = check(books)
    assert not report.balanced
    assert any(f"{place[0]}/{place[1]}" in text for text in report.faults)
