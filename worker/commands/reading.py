"""What the commands that read our own topics have in common."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.config import load_settings
from worker.encode import read_container
from worker.errors import ConfigError, UnavailableError
from worker.kafka import Read, read_all
from worker.settings import Settings
from worker.topics import Topics

log = logging.getLogger(__name__)


def broker_settings(config: Path | None, assignments: Sequence[str]) -> Settings:
    """The settings; ConfigError where they name no broker."""
    settings = load_settings(config, assignments).settings
    if "bootstrap.servers" not in settings.kafka.common:
        raise ConfigError("kafka.common.bootstrap.servers is not set")
    return settings


def decoded(read: Read) -> dict[str, Any] | None:
    """The record, None for an empty value or one that is not ours."""
    if not read.value:
        return None
    try:
        return read_container(read.value)
    except ValueError as error:
        log.warning("%s offset %d skipped: %s", read.partition, read.offset, error)
        return None


def newest_rankings(settings: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    """The published ranking of every survey and night."""
    topic = Topics(settings.output.topic).ranking
    records = (decoded(read) for read in read_all(settings.kafka.common, topic))
    return {(r["survey"], r["night"]): r for r in records if r is not None}


def ranking_of(settings: Settings, night: str | None) -> dict[str, Any]:
    """The ranking of a night, by default the newest; UnavailableError where there is none."""
    rankings = newest_rankings(settings)
    survey = settings.source.survey
    nights = sorted(found for name, found in rankings if name == survey)
    wanted = night or (nights[-1] if nights else None)
    if wanted not in nights:
        known = f"; there are {', '.join(nights)}" if nights else ": is `rank` running?"
        raise UnavailableError(f"no ranking of survey {survey}, night {wanted or '-'}{known}")
    return rankings[survey, str(wanted)]
