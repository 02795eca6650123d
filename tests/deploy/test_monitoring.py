"""Rules, their tests, their runbook, the dashboard: against promtool and a real Prometheus."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
import uuid

import pytest
import yaml

from models.night import plan_night
from tests.deploy.conftest import ROOT, missing
from tests.e2e.harness import Worker, create_topic, produce, run_arguments, settled, wait_until
from tests.e2e.harness import workers as ended
from tests.processes import Server, free_ports
from worker.simulate import simulate_packets

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/rules.yaml"
DASHBOARD = DEPLOY / "grafana/anomaly-worker.json"


def rules():
    return [r for g in yaml.safe_load(RULES.read_text())["groups"] for r in g["rules"]]


def dashboard_expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        target["expr"].replace("$__rate_interval", "1m")
        for panel in panels
        for target in panel.get("targets", [])
    ]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_likes_the_rules(promtool):
    run(promtool, "check", "rules", str(RULES))
    run(promtool, "check", "config", "--syntax-only", str(DEPLOY / "prometheus/prometheus.yml"))


def test_each_rule_fires_on_its_symptom(promtool):
    tests = sorted(map(str, (DEPLOY / "prometheus").glob("rules_*test.yaml")))
    run(promtool, "test", "rules", *tests)
    text = "".join((DEPLOY / "prometheus" / name).read_text() for name in tests)
    for rule in rules():
        assert re.search(rf"{rule['alert']}\b", text), f"{rule['alert']} is not tested"


def test_each_rule_has_its_heading_in_the_runbook():
    runbook = (DEPLOY / "runbook.md").read_text()
    headings = set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE))
    for rule in rules():
        anchor = rule["annotations"]["runbook_url"].partition("#")[2]
        assert anchor == rule["alert"].lower()
        assert rule["alert"] in headings
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_copies_agree():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    kubernetes = DEPLOY / "kubernetes"
    wrapped = kubernetes / "components/monitoring/prometheusrule.yaml"
    assert yaml.safe_load(wrapped.read_text())["spec"]["groups"] == groups
    assert (kubernetes / "chart/files/rules.yaml").read_text() == RULES.read_text()
    assert (kubernetes / "chart/files/dashboard.json").read_text() == DASHBOARD.read_text()


def test_the_dashboard_is_whole():
    board = json.loads(DASHBOARD.read_text())
    assert [p["title"] for p in board["panels"] if p["type"] == "row"] == [
        "Is it keeping up?", "Is it right?", "Is the device busy?", "What failed?",
    ]  # fmt: skip
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"


class Prometheus(Server):
    """A real Prometheus that scrapes one worker often and evaluates our rules."""

    def __init__(self, folder, target):
        super().__init__(folder)
        (self.port,) = free_ports(1)
        config = {
            "global": {"scrape_interval": "3s", "evaluation_interval": "3s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "anomaly-worker", "static_configs": [{"targets": [target]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def command(self):
        return [
            shutil.which("prometheus"),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ], {}

    def answers(self):
        try:
            return self.get("/-/ready") is not None
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def query(self, expression):
        """The result; AssertionError when Prometheus refuses the expression."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(self.get(path))
        assert answer["status"] == "success", expression
        return answer["data"]["result"]


@pytest.fixture(scope="module")
def scraped(kafka_bootstrap, redis_url, tmp_path_factory):
    """A worker that has scored a small night, and a Prometheus that watches it."""
    if shutil.which("prometheus") is None:
        missing("prometheus")
    folder = tmp_path_factory.mktemp("monitoring")
    (port,) = free_ports(1)
    name = f"monitored{uuid.uuid4().hex[:8]}"  # the servers may be shared
    create_topic(kafka_bootstrap, name, 2)
    plan = plan_night(5, 25)
    packets = simulate_packets(5, plan.objects, plan.planted).packets
    arguments = run_arguments(
        kafka_bootstrap, redis_url, topic=name, out=f"{name}.out", group=name,
        source__survey="simulated", worker__metrics_port=str(port),
    )  # fmt: skip
    prometheus = Prometheus(folder, f"127.0.0.1:{port}")
    with ended(Worker(folder / "worker.log", arguments)) as (worker,):
        try:
            prometheus.start()
            up = "anomaly_worker_ready == 1"
            wait_until(lambda: prometheus.query(up), 150, "a scrape of a ready worker", worker)
            produce(kafka_bootstrap, name, [(None, packet) for packet in packets])
            wait_until(lambda: settled(kafka_bootstrap, f"{name}.out") == len(packets), 90, "books")
            moved = 'rate(anomaly_worker_alerts_total{outcome="scored"}[1m]) > 0'
            wait_until(lambda: prometheus.query(moved), 30, "two scrapes", worker)
            yield prometheus
        finally:
            prometheus.stop()


def test_every_expression_of_the_dashboard_finds_series(scraped):
    empty = [e for e in dashboard_expressions() if not scraped.query(e)]
    # Nothing was written below a broken connection, and nothing failed to be committed.
    assert {re.search(r"anomaly_worker_\w+", e).group() for e in empty} <= {
        "anomaly_worker_produce_errors_total",
    }


def test_every_rule_is_evaluated_and_only_the_right_ones_speak(scraped):
    for rule in rules():
        scraped.query(rule["expr"])
        for name in set(re.findall(r"anomaly_worker_\w+", rule["expr"])):
            base = name.removesuffix("_bucket")
            known = scraped.query(f'{{__name__=~"{base}(_bucket)?"}}')
            assert known or base == "anomaly_worker_produce_errors_total", name
    groups = json.loads(scraped.get("/api/v1/rules"))["data"]["groups"]
    states = {r["name"]: (r["health"], r["state"]) for g in groups for r in g["rules"]}
    assert {health for health, _ in states.values()} <= {"ok", "unknown"}
    assert [name for name, (_, state) in states.items() if state == "firing"] == []
