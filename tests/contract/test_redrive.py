"""Dead letters sent round again through a real Kafka."""

import json
import time

import pytest

from tests.e2e.harness import command
from worker.kafka import create_topics, produce_all, read_all
from worker.topics import Topics, output_specs
from worker.types.records import Message


def letter(topics, number, reason, *more):
    headers = [
        ("reason", reason.encode()),
        ("error", b"what was wrong"),
        ("input_topic", b"night"),
        ("input_partition", b"3"),
        ("input_offset", str(number).encode()),
        ("candid", str(2**60 + number).encode()),
        ("input.trace", b"t%d" % number),
        *more,
    ]
    return Message(topics.dead_letters, b"ZTF%d" % number, b"bytes %d" % number, tuple(headers))


@pytest.fixture
def topics(broker, unique):
    """Five dead letters: two malformed, two too large (one of them cut short), then a late one."""
    topics = Topics(unique)
    create_topics(broker.config, output_specs(topics, 2, 1))
    cut = ("value_sha256", b"00"), ("value_length", b"1900000")
    early = [
        letter(topics, 1, "malformed"),
        letter(topics, 2, "malformed"),
        letter(topics, 3, "too_large"),
        letter(topics, 4, "too_large", *cut),
    ]
    produce_all(broker.config, early)
    return topics


@pytest.fixture
def redriven(broker, topics):
    """Runs the command; what it printed and the keys that it sent."""

    def run(*options):
        before = len(list(read_all(broker.config, topics.redrive)))
        code, out, error = command(
            "redrive", "--json", "--set", f"output.topic={topics.out}",
            "--set", f"kafka.common.bootstrap.servers={broker.bootstrap}", *options,
        )  # fmt: skip
        assert code == 0, error
        sent = list(read_all(broker.config, topics.redrive))
        assert json.loads(out)["redriven"] == len(sent) - before or "--dry-run" in options
        return json.loads(out), sent, error

    return run


def keys(sent):
    return sorted(read.key.decode() for read in sent)


def test_everything_that_is_whole_goes_as_it_came(redriven):
    counts, sent, error = redriven()
    assert counts == {"redriven": 3, "short_form": 1, "dry_run": False}
    assert keys(sent) == ["ZTF1", "ZTF2", "ZTF3"]
    first = min(sent, key=lambda read: read.key)
    assert first.value == b"bytes 1"
    assert dict(first.headers)["trace"] == b"t1"
    assert dict(first.headers).keys() == {"trace", "redriven_from"}
    assert "night/3/4" in error


def test_by_reason(redriven):
    assert keys(redriven("--reason", "too_large")[1]) == ["ZTF3"]


def test_by_candid(redriven):
    chosen = redriven("--candid", str(2**60 + 2), "--candid", str(2**60 + 3))
    assert keys(chosen[1]) == ["ZTF2", "ZTF3"]


def test_by_time(broker, topics, redriven):
    # Times on the command line are whole seconds.
    middle = int(time.time()) + 2
    while time.time() < middle:
        time.sleep(0.05)
    produce_all(broker.config, [letter(topics, 5, "malformed")])
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle))
    assert keys(redriven("--since", text)[1]) == ["ZTF5"]
    counts, _, _ = redriven("--until", text, "--dry-run")
    assert counts["redriven"] == 3


def test_a_dry_run_sends_nothing(redriven):
    counts, sent, _ = redriven("--dry-run")
    assert (counts["redriven"], sent) == (3, [])


def test_a_reason_that_does_not_exist_is_refused(redriven):
    code, _, error = command("redrive", "--reason", "bad_mood")
    assert code == 2
    assert "bad_mood" in error
