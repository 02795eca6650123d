"""The benchmarks of the whole path, small, on real servers: their last lines keep the contract."""

import json

import pytest
from click.testing import CliRunner

from worker.commands.bench import bench
from worker.commands.bench.visit import LEAD


@pytest.fixture
def last_line(kafka_bootstrap, redis_url):
    """Runs a benchmark against the servers of the tests; the figures of its last line."""

    def run(*arguments):
        here = "--bootstrap", kafka_bootstrap, "--redis", redis_url
        result = CliRunner().invoke(bench, [*arguments, *here, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])

    return run


def test_pipeline_counts_what_it_drained(last_line):
    line = last_line("pipeline", "--alerts", "600", "--scoring", "stub")
    assert (line["alerts"], line["scoring"], line["checks"]) == (600, "stub", "passed")
    assert sum(line[name] for name in ("emitted", "withheld", "skipped", "duplicate")) == 600
    for name in ("seconds", "alerts_per_s", "cores", "alerts_per_s_per_core"):
        assert line[name] > 0


def test_naive_prints_a_ratio(last_line):
    line = last_line("naive", "--alerts", "200")
    assert (line["alerts"], line["scoring"], line["ours"]["checks"]) == (200, "packaged", "passed")
    assert line["ratio"] == pytest.approx(
        line["ours_alerts_per_s"] / line["alerts_per_s"], abs=0.01
    )


def test_visit_loses_nothing(last_line):
    line = last_line("visit", "--alerts", "300", "--visits", "1", "--burst", "--scoring", "stub")
    assert (line["alerts"], line["lost"]) == (LEAD + 300, 0)
    assert 0 < line["p50_s"] <= line["p99_s"] <= line["max_s"]
