"""`score` on files: JSON lines, Parquet, an HTML report with light curves."""

import json
import re

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.night import plan_night
from worker.__main__ import cli
from worker.commands.report import Point, write_report
from worker.commands.simulate import write_night
from worker.simulate import simulate_packets


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    plan = plan_night(3, 20)
    sent = simulate_packets(3, plan.objects, plan.planted)
    write_night(folder / "night.tar.gz", sent.night, [], sent.packets, [])
    result = CliRunner().invoke(
        cli,
        ["score", str(folder / "night.tar.gz"), "--json", "--limit", "5",
         "--html", str(folder / "report.html"), "--parquet", str(folder / "scores.parquet"),
         "--set", "source.survey=simulated", "--set", "redis.timeout_s=30"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder, [json.loads(line) for line in result.stdout.splitlines()]


def test_json_lines_are_strangest_first(scored):
    order = [(row["p"], -row["score"]) for row in scored[1]]
    assert len(order) > 10
    assert order == sorted(order)


def test_parquet_holds_the_same_rows(scored):
    folder, rows = scored
    assert pq.read_table(folder / "scores.parquet").to_pylist() == rows


def test_the_report_draws_the_curve_of_each_of_the_strangest(scored):
    folder, rows = scored
    text = (folder / "report.html").read_text()
    objects = list(dict.fromkeys(row["objectId"] for row in rows))
    assert re.findall(r"<h2>\d+\. (\S+)</h2>", text) == objects[:5]
    drawn = [int(n) for n in re.findall(r"<title>(\d+) detections</title>", text)]
    assert len(drawn) == 5
    assert min(drawn) >= 5
    assert sum(drawn) == len(re.findall(r"<circle|<rect|l3\.2 5\.8", text))
    assert "http" not in text  # nothing is fetched
    assert "<script" not in text


def test_hostile_names_are_text_and_a_lost_curve_is_said(tmp_path):
    row = {
        "objectId": "<script>x</script>", "p": 0.1, "p_provisional": None, "score": 1.0,
        "nearest_class": "<b>", "band": "r", "magpsf": 18.0, "n_points": 5, "ra": 1.0, "dec": 2.0,
        "flags": ["<i>"], "input_topic": "f", "input_offset": 0, "candid": 1,
    }  # fmt: skip
    write_report(tmp_path / "r.html", [row], {}, "<u>")
    text = (tmp_path / "r.html").read_text()
    assert not re.search(r"<(script|b|i|u)>", text)
    assert "no light curve" in text
    one = {("f", 0, 1): [Point(2461000.5, 18.0, 0.1, "i", positive=False)]}
    write_report(tmp_path / "r.html", [row], one, "")
    assert "class='i negative'" in (tmp_path / "r.html").read_text()
