"""Reads settings: the only reader of the environment.

Precedence: flag > environment > file > default. The origin of each value is kept, so that
`check --print-config` can say where it came from.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from worker.errors import ConfigError
from worker.settings import ENV_PREFIX, Settings, flatten, librdkafka_table

__all__ = ["LoadedSettings", "Settings", "load_settings", "masked", "wants_traces"]

MASK = "********"
SECRET_WORDS = ("password", "secret", "token", "key.pem", "webhook_url")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """One line per value: name, value (secrets masked), origin."""
        for path, value in flatten(self.settings.model_dump(mode="json")):
            origin = self.origins.get(path, "default")
            yield f"{path} = {masked(path, value)!r}  # {origin}"


def wants_traces() -> bool:
    """Whether OpenTelemetry's own variables name a collector and don't switch it off."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not off and any(os.environ.get(name) for name in endpoints)


def masked(path: str, value: Any) -> Any:
    """The value, or a mask where the name or a URL's user part says that it is secret."""
    name = path.lower()
    if any(word in name for word in SECRET_WORDS) and not name.endswith("_file"):
        return MASK if value else value
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, rest = value.split("://", 1)
        return f"{scheme}://{MASK}@{rest.rsplit('@', 1)[1]}"
    return value


def load_settings(config: Path | None = None, assignments: Sequence[str] = ()) -> LoadedSettings:
    """Read file, environment and `a.b=c` assignments; ConfigError names what is wrong."""
    layers: list[tuple[str, dict[str, Any]]] = []
    if config is not None:
        layers.append((f"file {config.name}", _read_toml(config)))
    layers.append(("environment", _read_environment()))
    layers.append(("--set", _read_assignments(assignments)))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    try:
        for origin, layer in layers:
            normal = _normalise(layer)
            _merge(merged, normal)
            origins.update({path: origin for path, _ in flatten(normal)})
        return LoadedSettings(Settings(**merged), origins)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"setting {where}: {first['msg']}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _normalise(layer: dict[str, Any]) -> dict[str, Any]:
    kafka = layer.get("kafka")
    if isinstance(kafka, Mapping):
        tables = {name: librdkafka_table(table) for name, table in kafka.items()}
        return {**layer, "kafka": tables}
    return layer


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _read_environment() -> dict[str, Any]:
    known = set(Settings.model_fields)
    for name in os.environ:
        head = name.upper().removeprefix(ENV_PREFIX).split("__")[0].lower()
        if name.upper().startswith(ENV_PREFIX) and head not in known:
            raise ConfigError(f"environment variable {name} names no setting")
    return EnvSettingsSource(Settings)()


def _read_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment}: write a.b=value")
        _merge(result, _nest(path.strip().split("."), _parse_value(text)))
    return result


def _nest(path: Sequence[str], value: Any) -> dict[str, Any]:
    """A nested table with one leaf; librdkafka names keep their dots."""
    if path[0] == "kafka" and len(path) > 2:
        return {"kafka": {path[1]: {".".join(path[2:]): value}}}
    head, *tail = path
    return {head: _nest(tail, value)} if tail else {head: value}


def _parse_value(text: str) -> Any:
    """A TOML value where the text is one, else the text itself (so strings need no quotes)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(target: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, Mapping) else value
