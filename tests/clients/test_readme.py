"""The README's snippets for reading the topic are run as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import PASSWORD, USER, client
from worker.encode.fink import fink_view

README = Path(__file__).parents[2] / "README.md"
HEADING = "Read the topic"
CLIENTS = ("hop", "fink_client", "babamul")


def snippets():
    """Python blocks below the heading, up to the next heading of the same rank."""
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    section = re.search(rf"^(#+) {HEADING}$(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return blocks.findall(section[2]) if section else []


SNIPPETS = snippets()


def test_the_section_is_there():
    assert len(SNIPPETS) >= 4, f"README.md lacks python blocks below {HEADING!r}"


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(code, wire, tmp_path, unique):
    for name in CLIENTS:
        if f"from {name}" in code:
            client(name)
    bootstrap = wire.sasl_bootstrap if "from babamul" in code else wire.bootstrap
    code = code.replace("HOST:PORT", bootstrap)
    code = re.sub(r"(?<![\w.])ztf\.anomaly", wire.topic, code).replace('"me"', f'"{unique}"')
    (tmp_path / "anomaly.fink.avsc").write_text(json.dumps(fink_view("anomaly")))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False,
        cwd=tmp_path,
        env={
            **os.environ,
            "BABAMUL_KAFKA_USERNAME": USER, "BABAMUL_KAFKA_PASSWORD": PASSWORD,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {alert["objectId"] for alert in wire.alerts.values()}
    assert any(name in done.stdout for name in names), done.stdout
