"""The webhook hears of a night's end once, and hears no markup of strangers."""

import http.server
import json
import logging
import threading

import pytest

from tests.contract.outputs import TONIGHT_JD, slim
from worker.commands.webhook import escaped, night_text, post
from worker.errors import ConfigError, UnavailableError

LAST_NIGHT_JD = TONIGHT_JD - 1


class Hook:
    """A server that takes messages, or refuses the next `refusals`."""

    def __init__(self):
        self.texts, self.refusals = [], 0
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if hook.refusals:
                    hook.refusals -= 1
                    self.send_error(503)
                    return
                assert self.headers["content-type"] == "application/json"
                hook.texts.append(json.loads(body)["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


def test_last_nights_end_is_told_once(output, hook):
    setting = f"ranking.webhook_url={hook.url}"
    output.add(
        slim("strange", 0.001, candid=1, jd=LAST_NIGHT_JD, outcome="emitted", emissions_90d=2),
        slim("below", 0.5, candid=2, jd=LAST_NIGHT_JD),
        slim("tonight", 0.001, candid=3, jd=TONIGHT_JD, outcome="emitted"),
        slim("old", 0.001, candid=4, jd=LAST_NIGHT_JD - 3, outcome="emitted"),
    )
    output.rank(setting)
    output.rank(setting)
    (text,) = hook.texts
    assert "2 scored, 1 emitted" in text
    assert "strange" in text
    assert "sent 3 times" in text
    assert not any(name in text for name in ("below", "tonight", "old"))


def test_a_refusal_is_tried_again_and_not_told_with_the_address(output, hook, caplog):
    hook.refusals = 1
    setting = f"ranking.webhook_url={hook.url}"
    output.add(slim("a", 0.001, candid=1, jd=LAST_NIGHT_JD, outcome="emitted"))
    with caplog.at_level(logging.WARNING):
        output.rank(setting)
    assert "webhook: " in caplog.text
    assert "secret" not in caplog.text
    assert not output.rankings()[-1]["final"]
    output.rank(setting)
    assert len(hook.texts) == 1
    assert output.rankings()[-1]["final"]


def test_the_address_can_be_a_secret_file(output, hook, tmp_path):
    secret = tmp_path / "webhook"
    secret.write_text(f"{hook.url}\n")
    output.add(slim("a", 0.001, candid=1, jd=LAST_NIGHT_JD, outcome="emitted"))
    output.rank(f"ranking.webhook_url_file={secret}")
    assert len(hook.texts) == 1


@pytest.mark.parametrize("url", ["ftp://x/y", "file:///etc/passwd", "nonsense"])
def test_other_addresses_are_refused(url):
    with pytest.raises(ConfigError):
        post(url, "x")


def test_nobody_there():
    with pytest.raises(UnavailableError, match="webhook"):
        post("http://127.0.0.1:1/", "x")


def test_strangers_text_is_no_markup():
    assert escaped("<!channel> & <http://x|y>\n") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;?"
    row = {
        "rank": 1, "objectId": "<!here>|x", "p": 0.001, "p_provisional": None, "score": 1.0,
        "nearest_class": "<b>", "ra": 1.0, "dec": -2.0, "band": "r", "magpsf": 18.0, "n_points": 9,
        "outcome": "emitted", "emissions_90d": 1, "votes": {}, "flags": [],
    }  # fmt: skip
    ranking = {
        "survey": "ztf", "night": "20260101", "final": True, "scored": 1, "emitted": 1,
        "expected_false_alarms": None, "model": "m", "model_version": "1", "rows": [row],
    }  # fmt: skip
    text = night_text(ranking, 10)
    assert "<!here>" not in text
    assert "<b>" not in text
    assert text.count("<") == 1  # our own link
    assert "Nothing was emitted" in night_text({**ranking, "rows": []}, 10)
