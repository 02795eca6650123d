"""Servers and programs of the deployment tier; required in CI, skipped with a reason elsewhere."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import Server, free_ports

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT.parent / "shared" / "kubernetes"


def missing(what):
    """Skip, or fail where the servers are required."""
    if os.environ.get("CI_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{what} is required here and was not found")
    pytest.skip(f"no {what}")


@pytest.fixture(scope="session")
def promtool():
    """Debian's package prometheus has it."""
    return shutil.which("promtool") or missing("promtool")


class ApiServer(Server):
    """etcd and kube-apiserver on loopback; no scheduler, no kubelet: nothing runs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_ports(3)[0]
        self.environment = {**os.environ, "KUBECONFIG": str(folder / "kubeconfig")}

    def command(self):
        script = str(KUBERNETES / "apiserver.sh")
        return ["sh", script, str(self.folder), str(self.port)], dict(os.environ)

    def answers(self):
        return "ready\n" in (self.folder / "log").read_text(errors="replace")

    def run(self, program, *arguments, manifest=None):
        """kubectl or helm; the finished process, whatever it says."""
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            input=manifest,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def must(self, program, *arguments, manifest=None):
        """The same; its output, AssertionError when it fails."""
        done = self.run(program, *arguments, manifest=manifest)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A real API server whose default admission is Kubernetes' own."""
    if not (KUBERNETES / "apiserver.sh").exists():
        missing("kube-apiserver (../shared/kubernetes)")
    if shutil.which("openssl") is None:
        missing("openssl")
    server = ApiServer(tmp_path_factory.mktemp("kubernetes"))
    try:
        yield server.start(120)
    finally:
        server.stop()


@pytest.fixture
def namespace(cluster, unique):
    """A namespace that enforces the restricted Pod Security level."""
    labels = "{pod-security.kubernetes.io/enforce: restricted}"
    manifest = (
        f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {unique}, labels: {labels}}}}}"
    )
    cluster.must("kubectl", "apply", "-f", "-", manifest=manifest)
    return unique
