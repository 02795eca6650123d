"""`bench decode`: one line with the figures of the contract."""

import json

import pytest
from click.testing import CliRunner

from tests.avro_packets import container, encode, packet, packet_schema
from worker.commands.bench import decode as bench
from worker.errors import ConfigError

GOOD = container(packet_schema(), encode(packet_schema(), packet()))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two packets in one file, one in another, and one file that is no packet."""
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "SECONDS", 0.01)
    body = encode(packet_schema(), packet())
    values = {"two": container(packet_schema(), body, body), "one": GOOD, "bad": GOOD[:-1]}
    for name, value in values.items():
        (tmp_path / f"{name}.avro").write_bytes(value)
    return [str(tmp_path / f"{name}.avro") for name in values]


def test_the_last_line_has_the_figures(files):
    result = CliRunner().invoke(bench.decode, [*files, "--json"], catch_exceptions=False)
    line = json.loads(result.stdout.splitlines()[-1])
    assert line["alerts"] == 3
    assert line["bytes"] > 2 * len(GOOD)
    for name in ("ours_per_s", "ours_2threads_per_s", "ours_2processes_per_s", "fastavro_per_s"):
        assert line[name] > 0
    for name in ("fastavro_cached_per_s", "ratio", "ratio_2threads", "ratio_2processes"):
        assert line[name] > 0


def test_nothing_to_decode_is_an_error(files):
    with pytest.raises(ConfigError, match="no packet"):
        CliRunner().invoke(bench.decode, files[2:], catch_exceptions=False)
