"""Tells a Slack-compatible webhook how a night ended."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from worker.commands.top import percentile, plain, sums
from worker.errors import ConfigError, UnavailableError

TIMEOUT_S = 10.0
NAME_CHARS = 64
PORTAL = "https://ztf.snad.space/search"


def post(url: str, text: str) -> None:
    """Send a message; UnavailableError when it isn't taken, ConfigError for a bad address."""
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError("ranking.webhook_url is no http address")
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url, body, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - the same
            return
    except (urllib.error.URLError, OSError, ValueError) as error:
        # The address is a secret: only what went wrong is said.
        reason = getattr(error, "reason", error)
        raise UnavailableError(f"webhook: {reason}") from error


def night_text(ranking: Mapping[str, Any], rows: int) -> str:
    """The night's sums and its strangest emitted objects, one line each, in Slack's markup."""
    lines = [f"*{escaped(sums(ranking))}*"]
    emitted = [row for row in ranking["rows"] if row["outcome"] == "emitted"][:rows]
    lines += [_line(row) for row in emitted]
    if not emitted:
        lines.append("Nothing was emitted.")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text of strangers as Slack shows it: no markup, no mentions, no control characters."""
    safe = plain(text, NAME_CHARS * 8)
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(row: Mapping[str, Any]) -> str:
    position = urllib.parse.quote(f"{row['ra']:.5f} {row['dec']:.5f}")
    name = escaped(row["objectId"][:NAME_CHARS]).replace("|", "/")
    said = "".join(f", {count} x {escaped(label)}" for label, count in sorted(row["votes"].items()))
    repeated = f", sent {row['emissions_90d']} times in 90 d" if row["emissions_90d"] > 1 else ""
    return (
        f"{row['rank']}. <{PORTAL}/{position}/5|{name}> percentile {percentile(row)}, nearest "
        f"{escaped(row['nearest_class'] or '-')}, {row['magpsf']:.1f} {escaped(row['band'])}"
        f"{repeated}{said}"
    )
