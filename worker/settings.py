"""Settings: one frozen model of everything that can be set.

Unknown keys are refused. Every secret has a twin whose name ends in `_file` and holds a path
to read it from. `worker.config` reads files and the environment into it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.batch import BatchLimits

ENV_PREFIX = "ANOMALY_WORKER_"

OWNED_KAFKA_KEYS = frozenset(
    {
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "group.id",
        "group.instance.id",
        "isolation.level",
        "enable.idempotence",
        "acks",
        "transactional.id",
        "partitioner",
    }
)
"""librdkafka settings that carry the delivery guarantee; the worker sets them itself."""


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables as (dotted name, value)."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def librdkafka_table(table: Any) -> Any:
    """Flatten TOML's nested tables and the environment's underscores to librdkafka's names.

    Of librdkafka's settings only `log_level` holds an underscore, so the rule loses nothing.
    """
    if not isinstance(table, Mapping):
        return table
    result: dict[str, Any] = {}
    for name, value in flatten(table):
        is_file = name.endswith("_file")
        stem = name.removesuffix("_file")
        key = stem if stem == "log_level" else stem.replace("_", ".")
        if key in OWNED_KAFKA_KEYS:
            raise ValueError(f"{key} belongs to the worker and can't be set")
        result[key] = read_secret(Path(value)) if is_file else value
    return result


KafkaTable = Annotated[dict[str, str | int | float | bool], BeforeValidator(librdkafka_table)]


def read_secret(path: Path) -> str:
    """The content of a secret's file, without the line end that editors add."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"can't read secret file {path}: {error.strerror}") from error


class _Section(BaseModel):
    # `--set worker.slot=0` and an environment's 0 mean the text.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Source(_Section):
    """Where alerts come from."""

    survey: str = Field("ztf", description="survey name; decides which calibration applies")
    topics: tuple[str, ...] = Field((), description="fixed list of input topics")
    topic_template: str | None = Field(
        None, description="nightly topics, e.g. ztf_{night:%Y%m%d}_programid{programid}"
    )
    nights: int = Field(8, ge=1, description="nights back that are subscribed")
    longitude: float = Field(-116.863, ge=-180, le=180, description="east longitude, degrees")
    start_at: str | None = Field(
        None, description="earliest, latest, stored or an ISO time; default: stored offsets"
    )
    max_message_bytes: int = Field(2 * 1024 * 1024, ge=1024)
    accept_unknown_schemas: bool = Field(
        default=True, description="false: refuse schemas in which a mapped field has another type"
    )


class Batch(_Section):
    """When a batch closes: at the first of these."""

    max_records: int = Field(256, ge=1, le=10_000)
    max_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    max_wait_s: float = Field(0.25, gt=0, le=30)


class Cuts(_Section):
    """Input cuts; a packet that is cut is merged and not scored."""

    min_drb: float = Field(0.5, ge=0, le=1)
    min_rb: float = Field(0.55, ge=0, le=1)
    asteroid_arcsec: float = Field(5.0, ge=0)
    saturated_mag: float = Field(13.2, description="brighter corrected magnitudes are saturated")


class Redis(_Section):
    """Light-curve state."""

    url: str = Field("redis://127.0.0.1:6379/0", description="redis://, rediss:// or unix://")
    url_file: Path | None = Field(None, description="file that holds the URL")
    prefix: str = Field("anomaly:", description="prefix of every key")
    mode: Literal["single", "sentinel", "cluster"] = "single"
    nodes: tuple[str, ...] = Field((), description="host:port of more nodes of a cluster")
    sentinels: tuple[str, ...] = Field((), description="host:port of each sentinel")
    service_name: str | None = Field(None, description="the sentinels' name; default: mymaster")
    sentinel_login: bool = Field(False, description="the sentinels want the URL's user too")  # noqa: FBT003 - pydantic's default
    max_points: int = Field(512, ge=10, description="newest points kept per object and band")
    ttl_days: float = Field(400, gt=0)
    claim_ttl_days: float = Field(14, gt=0, description="input retention + 7 d")
    timeout_s: float = Field(5.0, gt=0)


class Model(_Section):
    """What scores."""

    path: Path | None = Field(None, description="artefact directory; default: the packaged one")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    calibrations: tuple[Path, ...] = Field((), description="calibration files of live streams")


class Output(_Section):
    """What is published."""

    topic: str = Field("ztf.anomaly", description="<out>; the other topics add a suffix")
    min_percentile: float = Field(99.0, gt=0, lt=100)
    min_points: int = Field(10, ge=5, description="fewer points: scored, withheld as few_points")
    programids: tuple[int, ...] = Field((1,), min_length=1, description="listed as publishable")
    repeat_factor: float = Field(0.5, gt=0, le=1, description="p must fall to this share of before")
    repeat_days: float = Field(90, gt=0)
    cutouts: Literal["none", "bytes", "struct"] = "bytes"
    embedding: bool = False
    partitions: int = Field(15, ge=1, description="of topics that are created; fixed for life")
    replication: int = Field(1, ge=1)
    create_topics: bool = False


class Ranking(_Section):
    """The night's order, kept by `rank`."""

    votes: Literal["mark", "lower", "hide"] = Field(
        "mark", description="objects that people dismissed: shown, put last, or left out"
    )
    webhook_url: str | None = Field(None, description="Slack-compatible; told of each night's end")
    webhook_url_file: Path | None = Field(None, description="file that holds the URL")
    webhook_rows: int = Field(10, ge=1, le=40, description="rows of the message")


class DeadLetters(_Section):
    """When dead letters stop the worker."""

    max_share: float = Field(0.05, gt=0, le=1, description="of the last 1,000 records; 1 = never")


class Worker(_Section):
    """This process."""

    group: str = "anomaly-worker"
    slot: str | None = Field(None, description="stable name of this process; default 0")
    shutdown_timeout_s: float = Field(25.0, gt=0)
    metrics_port: int = Field(0, ge=0, le=65535, description="0 = no metrics server")
    metrics_host: str = Field("127.0.0.1", description="0.0.0.0 where probes come from outside")
    revision: str = Field("unknown", description="commit of the build; images set it")
    log_format: Literal["auto", "text", "json"] = "auto"


class Kafka(_Section):
    """librdkafka settings, passed through untouched."""

    common: KafkaTable = Field(default_factory=dict)
    consumer: KafkaTable = Field(default_factory=dict)
    producer: KafkaTable = Field(default_factory=dict)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once"
    source: Source = Source()
    batch: Batch = Batch()
    cuts: Cuts = Cuts()
    redis: Redis = Redis()
    model: Model = Model()
    output: Output = Output()
    ranking: Ranking = Ranking()
    dead_letters: DeadLetters = DeadLetters()
    worker: Worker = Worker()
    kafka: Kafka = Kafka()

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
        """Sources are layered by `load_settings`, which must know each value's origin."""
        return (sources["init_settings"],)

    @property
    def redis_url(self) -> str:
        """The URL itself, from its file where one is named."""
        return read_secret(self.redis.url_file) if self.redis.url_file else self.redis.url

    @property
    def webhook_url(self) -> str | None:
        """The webhook itself, from its file where one is named."""
        file = self.ranking.webhook_url_file
        return read_secret(file) if file else self.ranking.webhook_url

    @property
    def batch_limits(self) -> BatchLimits:
        """When a batch closes."""
        return BatchLimits(**self.batch.model_dump())

    @property
    def slot(self) -> str:
        """The worker's slot: explicit, else 0."""
        return self.worker.slot or "0"
