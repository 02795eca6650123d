"""Guarded servers, secrets, data that is not public, and code that must not be there."""

import ast
import io
import json
import shutil

import fastavro
import pytest
import redis
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient, NewTopic

from models.night import plan_night
from tests.deploy.conftest import ROOT, missing
from tests.deploy.secured import USER, Certificates, SecuredKafka, SecuredRedis
from tests.e2e.harness import Worker, decoded, produce, read_topic, settled, wait_until
from tests.e2e.harness import workers as ended
from tests.kafka_server import kafka_home
from tests.redis_server import redis_binary
from worker.__main__ import cli
from worker.simulate import simulate_packets
from worker.topics import Topics, output_specs

KAFKA_PASSWORD = "kafka-pa55word"  # of throw-away servers
REDIS_PASSWORD = "redis-pa55word"
INPUT, OUT, GROUP = "guarded", "guarded.out", "guard"

SETTINGS = """
[source]
survey = "simulated"
topics = ["{topic}"]
[kafka.common]
"bootstrap.servers" = "{bootstrap}"
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "{user}"
"sasl.password_file" = "{folder}/kafka-password"
"ssl.ca.location" = "{authority}"
[redis]
url_file = "{folder}/redis-url"
[output]
topic = "{out}"
partitions = 2
min_percentile = 50
[worker]
group = "{group}"
log_format = "json"
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The servers with topics and rights, and the worker's settings file."""
    home, binary = kafka_home(), redis_binary()
    if home is None or binary is None or shutil.which("openssl") is None:
        missing("Apache Kafka, Redis and openssl")
    folder = tmp_path_factory.mktemp("guarded")
    certificates = Certificates(folder)
    kafka = SecuredKafka(folder / "kafka", home, certificates, KAFKA_PASSWORD)
    state = SecuredRedis(folder / "redis", binary, certificates, REDIS_PASSWORD)
    try:
        yield Guarded(folder, certificates, kafka.start(120), state.start(60))
    finally:
        kafka.stop()
        state.stop()


class Guarded:
    """One worker's surroundings."""

    def __init__(self, folder, certificates, kafka, state):
        self.folder, self.kafka, self.state = folder, kafka, state
        self.config = folder / "worker.toml"
        text = SETTINGS.format(
            topic=INPUT, bootstrap=kafka.secured, user=USER, folder=folder, out=OUT, group=GROUP,
            authority=certificates.authority,
        )  # fmt: skip
        self.config.write_text(text)
        self.secret("kafka-password", KAFKA_PASSWORD)
        self.secret("redis-url", state.url)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        topics = [NewTopic(s.name, s.partitions, 1) for s in output_specs(Topics(OUT), 2, 1)]
        for future in admin.create_topics([NewTopic(INPUT, 2, 1), *topics]).values():
            future.result(30)
        kafka.allow(INPUT, OUT, GROUP)

    def secret(self, name, text):
        """As a mounted secret: a file, with the line end that editors add."""
        (self.folder / name).write_text(text + "\n")


def check(*arguments):
    """`check` in this process: exit code and output."""
    done = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def with_programid(value, change):
    """A packet whose own programid and those of its history are what `change` makes of them."""
    reader = fastavro.reader(io.BytesIO(value))
    record, schema = next(reader), reader.writer_schema
    change(record)
    out = io.BytesIO()
    fastavro.writer(out, schema, [record])
    return out.getvalue()


def readable(value):
    """A simulated night holds a broken packet too."""
    try:
        content(value)
    except (ValueError, EOFError, StopIteration):
        return False
    return True


def content(value):
    return next(fastavro.reader(io.BytesIO(value)))


def not_public(record):
    record["objectId"] = "ZTF99" + record["objectId"][5:]
    record["candidate"]["programid"] = 2


@pytest.fixture(scope="module")
def night():
    """Public packets, some with points in their history that are not; packets that are not."""
    plan = plan_night(6, 40)
    packets = [p for p in simulate_packets(6, plan.objects, plan.planted).packets if readable(p)]
    hidden = [with_programid(packet, not_public) for packet in packets[:20]]
    triggers = {content(packet)["candid"] for packet in packets}
    candids = set()

    def partly(record):
        for point in record["prv_candidates"] or []:
            candid = point["candid"]
            if candid is not None and candid not in triggers and candid // 1000 % 3 == 0:
                point["programid"] = 2
                candids.add(candid)

    public = [with_programid(packet, partly) for packet in packets]
    assert candids
    return public, hidden, candids


@pytest.fixture(scope="module")
def worked(guarded, night):
    """A guarded worker that was given the night; its log."""
    public, hidden, _ = night
    everything = [(None, packet) for packet in [*public, *hidden]]
    log = guarded.folder / "worker.log"
    with ended(Worker(log, ["--config", str(guarded.config)])) as (worker,):
        produce(guarded.kafka.bootstrap, INPUT, everything)
        wait_until(
            lambda: settled(guarded.kafka.bootstrap, OUT) == len(everything), 120, "books", worker
        )
        assert worker.drain() == 0, worker.tail()
    return log.read_text()


def test_a_worker_with_the_documented_rights_works_behind_tls(guarded, worked):
    assert '"event": "drained"' in worked
    assert read_topic(guarded.kafka.bootstrap, f"{OUT}.scores")


def test_no_secret_in_the_log(worked):
    for secret in (KAFKA_PASSWORD, REDIS_PASSWORD):
        assert secret not in worked


def test_packets_that_are_not_public_leave_no_trace(guarded, worked, night):
    _, hidden, _ = night
    names = {content(packet)["objectId"] for packet in hidden}
    for topic in (OUT, f"{OUT}.scores", f"{OUT}.dlq"):
        for key, value, _ in read_topic(guarded.kafka.bootstrap, topic):
            assert not [n for n in names if n.encode() in (key or b"") + value]
    with redis.Redis.from_url(guarded.state.url) as client:
        keys = b" ".join(client.scan_iter(count=1000))
    assert not [name for name in names if name.encode() in keys]
    books = decoded(read_topic(guarded.kafka.bootstrap, f"{OUT}.ledger"))
    counts = [o for b in books for p in b["partitions"] for o in p["outcomes"]]
    skipped = sum(o["count"] for o in counts if o["outcome"] == "skipped.non_public")
    assert skipped == len(hidden)


def test_points_that_are_not_public_are_not_published(guarded, worked, night):
    _, _, candids = night
    alerts = decoded(read_topic(guarded.kafka.bootstrap, OUT))
    assert alerts
    published = {p["candid"] for alert in alerts for p in alert["prv_candidates"] or []}
    assert published
    assert not published & candids


def test_a_wrong_password_ends_with_78_and_is_not_repeated(guarded):
    guarded.secret("kafka-password", "wr0ng-secret")
    try:
        code, said = check("--config", str(guarded.config), "--only", "topics")
    finally:
        guarded.secret("kafka-password", KAFKA_PASSWORD)
    assert code == 78
    assert "failed" in said
    assert "wr0ng" not in said


def test_a_wrong_redis_password_ends_with_78_and_is_not_repeated(guarded):
    guarded.secret("redis-url", guarded.state.url.replace(REDIS_PASSWORD, "wr0ng-secret"))
    try:
        code, said = check("--config", str(guarded.config), "--only", "redis")
    finally:
        guarded.secret("redis-url", guarded.state.url)
    assert code == 78
    assert "wr0ng" not in said


def test_a_server_that_the_authority_does_not_know_is_refused(guarded, tmp_path):
    foreign = Certificates(tmp_path).authority
    arguments = ["--config", str(guarded.config), "--set"]
    code, said = check(*arguments, f"kafka.common.ssl.ca.location={foreign}", "--only", "topics")
    assert code in {69, 78}
    assert "failed" in said


def test_settings_are_printed_without_secrets(guarded):
    code, said = check("--config", str(guarded.config), "--print-config")
    assert code == 0
    assert "********" in said
    assert KAFKA_PASSWORD not in said
    assert REDIS_PASSWORD not in said


FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


def test_no_code_hides_in_data():
    """No pickle in any form, nothing evaluated: weights and packets are data."""
    for path in [*(ROOT / "worker").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {a.name.split(".")[0] for a in node.names} & FORBIDDEN, where
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in FORBIDDEN, where
            if isinstance(node, ast.Call):
                _check_call(node, path, where)


def _check_call(node, path, where):
    called, whole = ast.unparse(node.func), ast.unparse(node)
    assert called not in {"eval", "exec", "yaml.load"}, where
    assert "allow_pickle=True" not in whole, where
    if called == "torch.load":  # a training run that goes on where it stopped
        assert path.name == "pretrain.py", where
        assert "weights_only=True" in whole, where


def test_check_says_so_in_json_too(guarded):
    code, said = check("--config", str(guarded.config), "--only", "redis", "--json")
    assert code == 0
    assert REDIS_PASSWORD not in said
    assert json.loads(said)["findings"][0]["what"] == "redis"
