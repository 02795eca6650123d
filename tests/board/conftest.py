"""The board over a simulated night, in a real headless Chromium."""

import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
import uvicorn

from tests.conftest import NIGHT_OUT
from tests.processes import wait_until
from worker.board.app import make_app
from worker.board.state import BoardState
from worker.encode import read_container
from worker.night import night_of_jd
from worker.ranking import NightRanking, RankingPolicy
from worker.votes import Votes

LONGITUDE = -116.863
SCREENSHOTS = Path("build/screenshots")
FLAGS = [
    "--no-sandbox", "--disable-gpu-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Board:
    """A server over a state that the test feeds."""

    def __init__(self, port=0):
        self.state = BoardState("simulated", LONGITUDE)
        self.state.report(None)
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._server = None

    def start(self):
        app = make_app(self.state, lambda: self._server.should_exit)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=3)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )
        self._thread.start()
        wait_until(lambda: self._server.started, 20, "the board")
        return self

    def stop(self):
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def fill(self, alerts, ranking=None):
        for alert in alerts:
            self.state.add_alert(alert)
        if ranking is not None:
            self.state.add_ranking(ranking)


@pytest.fixture(scope="session")
def night_alerts(night_messages):
    return [read_container(m.value) for m in night_messages if m.topic == NIGHT_OUT]


@pytest.fixture(scope="session")
def night_ranking(night_messages):
    scores = [read_container(m.value) for m in night_messages if m.topic == f"{NIGHT_OUT}.scores"]
    ranking = NightRanking("simulated", night_of_jd(scores[0]["jd"], LONGITUDE))
    for score in scores:
        ranking.add(score)
    content = ranking.content(Votes(), RankingPolicy(), final=False)
    return {**content, "updated_at_ms": 1_780_000_000_000}


@pytest.fixture
def empty_board():
    board = Board().start()
    yield board
    board.stop()


@pytest.fixture
def board(empty_board, night_alerts, night_ranking):
    empty_board.fill(night_alerts, night_ranking)
    return empty_board


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium; skipped without it, which fails where everything is required."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an optional client
    except ImportError:
        _without("playwright (extra `clients`)")
    path = shutil.which("chromium")
    if path is None:
        _without("chromium (Debian package)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def pages(browser):
    """Opens pages and fails the test on any console error or failed script."""
    contexts, errors = [], []

    def open_page(url, *, width=1280, height=900, scheme="light", ready="#rows tr"):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(url)
        if ready:
            page.wait_for_selector(ready, state="attached", timeout=15_000)
        return page

    open_page.errors = errors
    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def eventually(page, expression):
    """Wait until an expression holds; the page's policy forbids Playwright's own way."""
    wait_until(lambda: page.evaluate(expression), 20, expression)


def screenshot(page, name):
    """Keep a picture for people; CI keeps the folder."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def _without(what):
    if os.environ.get("CI_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{what} is required here and was not found")
    pytest.skip(f"no {what}")
