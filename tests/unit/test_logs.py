import json
import logging

import pytest

from tests.processes import wait_until
from worker.logs import (
    BURST,
    PERIOD_S,
    JsonFormatter,
    RateLimit,
    TextFormatter,
    remind,
    without_secrets,
)


def record(message, *arguments, created=0.0, **extra):
    made = logging.LogRecord("worker.x", logging.WARNING, "x.py", 1, message, arguments, None)
    made.created = created
    vars(made).update(extra)
    return made


def test_json_lines_have_fixed_keys():
    line = json.loads(JsonFormatter().format(record("batch %d done", 3, batch=3, payload="x")))
    assert line == {
        "ts": "1970-01-01T00:00:00.000+00:00",
        "level": "warning",
        "logger": "worker.x",
        "event": "batch 3 done",
        "batch": 3,
    }


def test_an_exception_is_one_line():
    failed = record("it failed")
    failed.exc_info = (ValueError, ValueError("broken"), None)
    text = JsonFormatter().format(failed)
    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["error"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("redis://user:pa55@host:6379/0 is away", "redis://********@host:6379/0 is away"),
        ("rediss://:pa55@host", "rediss://********@host"),
        ("sasl.password=pa55 refused", "sasl.password=******** refused"),
        ("http://host/path is fine", "http://host/path is fine"),
    ],
)
def test_secrets_are_masked(text, clean):
    assert without_secrets(text) == clean
    assert clean in TextFormatter().format(record(text))
    assert "pa55" not in JsonFormatter().format(record("%s", text))


def test_each_event_has_a_rate_of_its_own():
    limit = RateLimit()
    count = BURST + 15
    passed = [limit.filter(record("waiting %d s", n, created=n / 10)) for n in range(count)]
    assert passed == [True] * BURST + [False] * 15
    assert limit.filter(record("another event", created=2.0))
    later = record("waiting %d s", 1, created=PERIOD_S + 1)
    assert limit.filter(later)
    assert later.suppressed == 15


def test_a_reminder_comes_again(caplog):
    enough = remind(logging.getLogger("reminded"), "still so", every_s=0.01)
    wait_until(lambda: caplog.text.count("still so") > 1, 10, "a second reminder")
    enough.set()
