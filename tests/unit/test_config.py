import os

import pytest

from worker.config import load_settings
from worker.errors import ConfigError


@pytest.fixture(autouse=True)
def no_worker_environment(monkeypatch):
    for name in os.environ:
        if name.startswith("ANOMALY_WORKER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "worker.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_the_designs():
    settings = load_settings().settings
    assert settings.delivery == "exactly-once"
    assert settings.source.nights == 8
    assert settings.redis.max_points == 512
    assert settings.output.min_percentile == 99


def test_a_flag_beats_the_environment_and_the_environment_beats_the_file(toml, monkeypatch):
    path = toml('[output]\ntopic = "file"\ncutouts = "none"\n[worker]\nslot = "1"\ngroup = "g"\n')
    monkeypatch.setenv("ANOMALY_WORKER_WORKER__SLOT", "2")
    monkeypatch.setenv("ANOMALY_WORKER_OUTPUT__TOPIC", "environment")
    loaded = load_settings(path, ["output.topic=flag"])
    assert loaded.settings.output.topic == "flag"
    assert loaded.settings.output.cutouts == "none"
    assert loaded.settings.worker.slot == "2"
    assert loaded.settings.worker.group == "g"
    assert loaded.origins["output.topic"] == "--set"
    assert loaded.origins["worker.slot"] == "environment"
    assert loaded.origins["worker.group"] == "file worker.toml"
    assert "redis.url" not in loaded.origins


@pytest.mark.parametrize(
    "assignment", ["nonsense=1", "output.nonsense=1", "kafka.nonsense.x=1", "batch.max_records=0"]
)
def test_unknown_or_impossible_values_are_refused_by_name(assignment):
    with pytest.raises(ConfigError, match=assignment.split("=")[0].split(".")[0]):
        load_settings(None, [assignment])


def test_an_unknown_environment_variable_is_refused(monkeypatch):
    monkeypatch.setenv("ANOMALY_WORKER_OUTPT__TOPIC", "x")
    with pytest.raises(ConfigError, match="ANOMALY_WORKER_OUTPT__TOPIC"):
        load_settings()


def test_librdkafka_names_survive_every_way_in(toml, monkeypatch):
    path = toml("[kafka.common]\nbootstrap.servers = 'a:1'\n'log_level' = 3\n")
    monkeypatch.setenv("ANOMALY_WORKER_KAFKA__CONSUMER__SECURITY_PROTOCOL", "SASL_SSL")
    kafka = load_settings(path, ["kafka.producer.linger.ms=5"]).settings.kafka
    assert kafka.common == {"bootstrap.servers": "a:1", "log_level": 3}
    assert kafka.consumer == {"security.protocol": "SASL_SSL"}
    assert kafka.producer == {"linger.ms": 5}


@pytest.mark.parametrize("key", ["enable.auto.commit", "group.id", "transactional.id", "acks"])
def test_keys_that_carry_the_guarantee_belong_to_the_worker(key):
    with pytest.raises(ConfigError, match=key):
        load_settings(None, [f"kafka.common.{key}=x"])


def test_secrets_come_from_files_and_are_masked(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    loaded = load_settings(
        None,
        [f"kafka.common.sasl.password_file={secret}", "redis.url=redis://me:hunter2@host:6379/0"],
    )
    assert loaded.settings.kafka.common["sasl.password"] == "s3cret"
    printed = "\n".join(loaded.lines())
    assert "s3cret" not in printed
    assert "hunter2" not in printed
    assert "redis://********@host:6379/0" in printed


def test_a_missing_secret_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load_settings(None, [f"kafka.common.sasl.password_file={tmp_path / 'nowhere'}"])


def test_broken_or_missing_files_are_configuration_errors(toml, tmp_path):
    with pytest.raises(ConfigError, match=r"worker\.toml"):
        load_settings(toml("[output\n"))
    with pytest.raises(ConfigError, match="can't read"):
        load_settings(tmp_path / "absent.toml")


def test_settings_are_frozen():
    settings = load_settings().settings
    with pytest.raises(ValueError, match="frozen"):
        settings.delivery = "at-least-once"
