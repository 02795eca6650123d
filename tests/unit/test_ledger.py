"""The books: what balances, and what a lost, doubled or miscounted record looks like."""

import copy

import pytest

from worker.ledger import check


def book(start, stop, *, group="g", partition=0, outcomes=None, night="20260715"):
    counts = outcomes or {"withheld.below": stop - start}
    return {
        "group": group,
        "partitions": [
            {
                "topic": "alerts",
                "partition": partition,
                "start": start,
                "next": stop,
                "records": sum(counts.values()),
                "outcomes": [
                    {"night": night, "outcome": outcome, "count": count}
                    for outcome, count in counts.items()
                ],
            }
        ],
    }


@pytest.fixture
def books():
    return [
        book(0, 4),
        book(4, 9, outcomes={"emitted": 1, "duplicate": 2, "skipped.short": 2}),
        book(9, 12, outcomes={"dead_letter.truncated": 3}),
        book(0, 7, partition=1),
    ]


def test_sums_by_outcome_and_night(books):
    report = check(books)
    assert report.balanced
    assert report.records == 19
    assert report.total("withheld") == 11
    assert report.total("skipped") + report.total("duplicate") + report.total("dead_letter") == 7
    assert report.by_night["20260715"]["emitted"] == 1


def test_the_order_of_the_books_does_not_matter(books):
    assert check(reversed(books)).balanced


def test_a_dropped_transaction_is_a_hole(books):
    del books[1]
    assert check(books).faults == ["alerts/0 (group g): hole from 4 to 9"]


def test_a_doubled_transaction_is_an_overlap(books):
    books.append(copy.deepcopy(books[1]))
    assert check(books).faults == ["alerts/0 (group g): overlap from 4 to 9"]


def test_a_miscounted_outcome(books):
    books[1]["partitions"][0]["outcomes"][0]["count"] += 1
    assert check(books).faults == ["alerts/0 [4, 9): 5 records, 6 outcomes"]


def test_more_records_than_offsets(books):
    books[0] = book(0, 4, outcomes={"withheld.below": 5})
    assert check(books).faults == ["alerts/0 [0, 4): 5 records in 4 offsets"]


def test_offsets_without_record_are_named_and_no_fault(books):
    books[0] = book(0, 4, outcomes={"withheld.below": 3})
    report = check(books)
    assert report.balanced
    assert report.offsets_without_record == {"alerts/0": 1}


def test_an_unknown_outcome(books):
    books[0] = book(0, 4, outcomes={"lost": 4})
    assert check(books).faults == ["alerts/0 [0, 4): unknown outcome 'lost'"]


def test_groups_have_books_of_their_own(books):
    books.append(book(2, 5, group="other"))
    assert check(books).balanced
    assert check(books, "other").records == 3
