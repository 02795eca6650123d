"""Every overlay and the chart, on a real API server that enforces the restricted level."""

import json

import pytest
import yaml

from tests.deploy.conftest import ROOT

OVERLAYS = sorted(p.name for p in (ROOT / "deploy/kubernetes/overlays").iterdir())
CHART = ROOT / "deploy/kubernetes/chart"
VALUES = [None, *sorted((CHART / "ci").glob("*.yaml"))]
RUNNING = ("Deployment", "StatefulSet", "CronJob", "Pod")


def pods(manifest):
    """The pods that the manifest's workloads would make, as manifests of their own."""
    for thing in yaml.safe_load_all(manifest):
        if thing is None or thing["kind"] not in RUNNING:
            continue
        spec = thing["spec"]
        if thing["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        template = spec if thing["kind"] == "Pod" else spec["template"]["spec"]
        name = f"{thing['metadata']['name']}-as-pod"
        # No controller runs here that would make the account.
        template = {k: v for k, v in template.items() if k != "serviceAccountName"}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template}


def apply(cluster, namespace, manifest):
    """Store the manifest and send its pods too: a workload alone only gets a warning."""
    said = cluster.must("kubectl", "apply", "-n", namespace, "-f", "-", manifest=manifest)
    found = list(pods(manifest))
    assert found
    cluster.must("kubectl", "apply", "-n", namespace, "-f", "-", manifest=yaml.safe_dump_all(found))
    return said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay(cluster, namespace, overlay):
    path = ROOT / "deploy/kubernetes/overlays" / overlay
    manifest = cluster.must("kubectl", "kustomize", str(path))
    said = apply(cluster, namespace, manifest)
    assert "statefulset.apps/anomaly-worker created" in said
    if overlay == "keda":
        assert "scaledobject.keda.sh/anomaly-worker created" in said
        assert "triggerauthentication.keda.sh/anomaly-worker created" in said
    if overlay == "monitoring":
        assert "podmonitor.monitoring.coreos.com/anomaly-worker created" in said
        assert "prometheusrule.monitoring.coreos.com/anomaly-worker created" in said


@pytest.mark.parametrize("values", VALUES, ids=lambda v: v.stem if v else "default")
def test_chart(cluster, namespace, values):
    chosen = ["--values", str(values)] if values else []
    cluster.must("helm", "lint", "--strict", str(CHART), *chosen)
    manifest = cluster.must("helm", "template", "night", str(CHART), *chosen)
    said = apply(cluster, namespace, manifest)
    assert "statefulset.apps/night created" in said


def test_the_charts_values_are_checked(cluster):
    for wrong in ("replicas=many", "replica=1", "keda.maxReplicas=0"):
        done = cluster.run("helm", "template", "night", str(CHART), "--set", wrong)
        assert done.returncode != 0
        assert wrong.split("=")[0].rpartition(".")[2] in done.stderr


def test_the_gate_is_shut(cluster, namespace):
    """The namespace refuses what breaks the restricted level, so that the tests above mean it."""
    pod = next(iter(pods(cluster.must("helm", "template", "night", str(CHART)))))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refused = cluster.run("kubectl", "apply", "-n", namespace, "-f", "-", manifest=json.dumps(pod))
    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_a_wrong_scaledobject_is_refused(cluster, namespace):
    path = ROOT / "deploy/kubernetes/overlays/keda"
    manifest = cluster.must("kubectl", "kustomize", str(path))
    spoiled = manifest.replace("pollingInterval: 30", "pollingInterval: often")
    refused = cluster.run("kubectl", "apply", "-n", namespace, "-f", "-", manifest=spoiled)
    assert "pollingInterval" in refused.stderr


def test_the_gpu_flavours_ask_for_one(cluster):
    path = ROOT / "deploy/kubernetes/overlays/gpu"
    for manifest in (
        cluster.must("kubectl", "kustomize", str(path)),
        cluster.must("helm", "template", "n", str(CHART), "--set", "gpu.enabled=true"),
    ):
        (worker,) = [t for t in yaml.safe_load_all(manifest) if t and t["kind"] == "StatefulSet"]
        (container,) = worker["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert "memory" in container["resources"]["limits"]
        assert container["image"].endswith("-cu130")


def test_settings_in_manifests_are_settings(tmp_path):
    """The TOML of base and chart is what the worker itself accepts."""
    from worker.config import load_settings  # noqa: PLC0415 - the rest needs no worker

    base = load_settings(ROOT / "deploy/kubernetes/base/worker.toml").settings
    assert base.output.topic == "ztf.anomaly"
    for number, values in enumerate([*VALUES[1:], CHART / "values.yaml"]):
        text = yaml.safe_load(values.read_text()).get("config")
        if text is None:
            continue
        for secret in ("kafka-password", "kafka-ca.pem", "redis-url"):
            (tmp_path / secret).write_text("redis://user:secret@host/0")
        path = tmp_path / f"{number}.toml"
        path.write_text(text.replace("/run/secrets/anomaly-worker", str(tmp_path)))
        assert load_settings(path).settings.source.survey == "ztf"
