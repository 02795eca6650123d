"""Every overlay and the chart, on a real API server that enforces the restricted level."""

import json
import re

import pytest
import yaml

from tests.deploy.conftest import ROOT
from worker.config import load_settings

OVERLAYS = sorted(p.name for p in (ROOT / "deploy/kubernetes/overlays").iterdir())
CHART = ROOT / "deploy/kubernetes/chart"
VALUES = [None, *sorted((CHART / "ci").glob("*.yaml"))]
SECRETS = ("kafka-password", "kafka-ca.pem", "redis-url")
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


def test_the_readmes_values_make_an_installation(cluster, namespace, tmp_path):
    """What a new operator copies: the values, the secret, the release."""
    text = (ROOT / "deploy/README.md").read_text()
    here = re.DOTALL | re.MULTILINE
    (values,) = re.findall(r"^cat > values.yaml <<'END'\n(.*?)^END$", text, here)
    path = tmp_path / "values.yaml"
    path.write_text(values.replace("REGISTRY", "registry.example.org"))
    files = [tmp_path / name for name in SECRETS]
    for file in files:
        file.write_text("of a test")
    secret = ("kubectl", "create", "secret", "generic", "anomaly-worker", "-n", namespace)
    cluster.must(*secret, *(f"--from-file={file}" for file in files))
    cluster.must("helm", "install", "night", str(CHART), "-n", namespace, "-f", str(path))
    found = cluster.must("kubectl", "get", "-n", namespace, "-o", "name", "statefulset,deployment")
    assert "statefulset.apps/night\n" in found
    said = cluster.must("helm", "upgrade", "night", str(CHART), "-n", namespace, "-f", str(path))
    assert "exec night-0 -- anomaly-worker top" in said
    config = cluster.must("kubectl", "get", "configmap", "night", "-n", namespace, "-o",
                          "jsonpath={.data.worker\\.toml}")  # fmt: skip
    (tmp_path / "worker.toml").write_text(config)
    assert load_settings(tmp_path / "worker.toml").settings.source.topics == ("simulated.alerts",)


def test_the_readmes_settings_are_settings(tmp_path):
    text = (ROOT / "deploy/README.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for name in SECRETS:
        (tmp_path / name).write_text("redis://user:secret@host")
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block.replace("/run/secrets/anomaly-worker", str(tmp_path)))
        load_settings(path)


def test_settings_in_manifests_are_settings(tmp_path):
    """The TOML of base and chart is what the worker itself accepts."""
    base = load_settings(ROOT / "deploy/kubernetes/base/worker.toml").settings
    assert base.output.topic == "ztf.anomaly"
    for number, values in enumerate([*VALUES[1:], CHART / "values.yaml"]):
        text = yaml.safe_load(values.read_text()).get("config")
        if text is None:
            continue
        for secret in SECRETS:
            (tmp_path / secret).write_text("redis://user:secret@host/0")
        path = tmp_path / f"{number}.toml"
        path.write_text(text.replace("/run/secrets/anomaly-worker", str(tmp_path)))
        assert load_settings(path).settings.source.survey == "ztf"
