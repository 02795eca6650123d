"""`demo --board`: the demo night on the board, as a new user sees it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.board.conftest import eventually, screenshot
from tests.processes import wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    log = tmp_path_factory.mktemp("demo") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "demo", "--board", "--port", "0", "--objects", "40"],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        wait_until(
            lambda: process.poll() is not None or "until Ctrl-C" in log.read_text(), 240, "the demo"
        )
        assert process.poll() is None, log.read_text()
        yield process, log
    finally:
        process.kill()


@pytest.fixture
def url(demo):
    return re.search(r"night board: (\S+)", demo[1].read_text())[1]


def night(url):
    with urllib.request.urlopen(f"{url}api/alerts", timeout=10) as answer:
        return json.load(answer)


def test_the_demo_night_is_ranked(demo, url):
    scored = int(re.search(r"(\d+) scored", demo[1].read_text())[1])
    wait_until(lambda: night(url).get("scored") == scored, 40, "the whole ranking")
    wait_until(lambda: night(url)["final"], 40, "the end of the night")
    assert any(row["detail"] for row in night(url)["rows"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_looks_right(url, pages, width, scheme):
    page = pages(f"{url}?sent=1", width=width, scheme=scheme, ready=".stamps canvas")
    eventually(page, "document.querySelectorAll('.stamps canvas').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("svg.curve .point").count() >= 5
    screenshot(page, f"demo-{width}-{scheme}")


def test_ctrl_c_ends_it(demo):
    process, log = demo
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, log.read_text()
