"""Images, locks and compose, as far as they can be looked at without a container engine."""

import re
import tomllib

import pytest
import yaml

from tests.deploy.conftest import ROOT
from worker.config import load_settings

DEPLOY = ROOT / "deploy"
LOCKS = ("cpu", "cuda")


def pins(flavour):
    """Version by package."""
    text = (DEPLOY / f"requirements-{flavour}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("flavour", LOCKS)
def test_every_pin_has_a_hash_and_no_address(flavour):
    text = (DEPLOY / f"requirements-{flavour}.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    blocks = re.split(r"\n(?=[a-z])", text.strip())
    assert len(blocks) == len(pins(flavour))
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("flavour", LOCKS)
def test_the_locks_hold_what_the_project_declares(flavour):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *project["optional-dependencies"]["board"],
        *project["optional-dependencies"]["otel"],
    ]
    found = pins(flavour)
    for requirement in declared:
        name, lowest = re.match(r"([a-z-]+)(?:\[[a-z]+\])?>=([0-9.]+)", requirement).groups()
        assert name in found, f"{name} is not locked: see deploy/README.md, Locks"
        assert numbers(found[name]) >= numbers(lowest)


def test_only_the_cuda_lock_brings_cuda():
    assert not [name for name in pins("cpu") if name.startswith("nvidia")]
    assert [name for name in pins("cuda") if name.startswith("nvidia")]
    assert numbers(pins("cpu")["torch"]) == numbers(pins("cuda")["torch"])


def numbers(version):
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]


def test_the_dockerfile_is_pinned_and_not_root():
    text = (DEPLOY / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG PYTHON=(\S+)", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+-\S+@sha256:[0-9a-f]{64}", base)
    stages = re.findall(r"^FROM (\S+) AS (\S+)", text, re.MULTILINE)
    names = {name for _, name in stages}
    assert {"cpu", "cuda", "sbom"} <= names
    assert all(source in names | {"${PYTHON}", "scratch"} for source, _ in stages)
    assert re.search(r"^USER 10001", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists(), name


def test_compose_is_whole():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert "build" in service or re.search(r":[v\d]", service["image"]), name
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists(), volume
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nothing listens beyond this machine"
    for name in ("worker", "worker-gpu", "rank", "board", "simulator"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    assert {p for s in services.values() for p in s.get("profiles", [])} == {
        "simulate", "gpu", "observability",
    }  # fmt: skip
    target = {services[name]["build"]["target"] for name in ("worker", "worker-gpu")}
    assert target == {"cpu", "cuda"}


def test_composes_commands_and_settings_exist():
    from worker.__main__ import COMMANDS  # noqa: PLC0415 - as the image calls it

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name in ("worker", "worker-gpu", "rank", "board", "simulator"):
        assert services[name]["command"].split()[0] in COMMANDS
    settings = load_settings(DEPLOY / "compose/worker.toml").settings
    assert settings.kafka.common["bootstrap.servers"] == "kafka:9092"
    topic = settings.source.topics[0]
    assert settings.output.create_topics, "nobody else makes the simulator's topic"
    assert topic in services["simulator"]["command"]
