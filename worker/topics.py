"""Which topics exist to be read and written: names only. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from worker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Topics:
    """The output topics; all are named after `out`."""

    out: str

    @property
    def scores(self) -> str:
        """One slim record for every scored alert."""
        return f"{self.out}.scores"

    @property
    def dead_letters(self) -> str:
        """Original bytes of records that can't succeed."""
        return f"{self.out}.dlq"

    @property
    def redrive(self) -> str:
        """Dead letters sent round again: an input."""
        return f"{self.out}.redrive"

    @property
    def ledger(self) -> str:
        """The books: one record per transaction."""
        return f"{self.out}.ledger"

    @property
    def ranking(self) -> str:
        """The night's order, compacted."""
        return f"{self.out}.ranking"

    @property
    def votes(self) -> str:
        """What people say about objects, compacted."""
        return f"{self.out}.votes"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


DAY_MS = 86_400_000


def output_specs(topics: Topics, partitions: int, replication: int) -> list[TopicSpec]:
    """The output topics with their retention (specification: output, section 2.4)."""
    week = {"retention.ms": str(7 * DAY_MS)}
    month = {"retention.ms": str(30 * DAY_MS)}
    compacted = {"cleanup.policy": "compact"}
    return [
        TopicSpec(topics.out, partitions, replication, week),
        TopicSpec(topics.scores, partitions, replication, week),
        TopicSpec(topics.dead_letters, partitions, replication, month),
        TopicSpec(topics.redrive, partitions, replication, week),
        TopicSpec(topics.ledger, 1, replication, month),
        TopicSpec(topics.ranking, 1, replication, compacted),
        TopicSpec(topics.votes, 1, replication, compacted),
    ]


def nightly_topics(
    template: str, programids: Iterable[int], nights: int, now_s: float
) -> list[str]:
    """Names of tomorrow's topic and of the last `nights` nights, oldest first.

    `template` has the fields night (a date) and programid. Tomorrow is included because a
    topic is named by the UTC date and clocks differ. Raises ConfigError for a bad template.
    """
    today = datetime.fromtimestamp(now_s, UTC).date()
    return _of_dates(
        template, programids, [today - timedelta(days=back) for back in range(nights - 1, -2, -1)]
    )


def topics_between(template: str, programids: Iterable[int], first: date, last: date) -> list[str]:
    """Names of the topics of these nights, both included; ConfigError for a bad template."""
    days = range((last - first).days + 1)
    return _of_dates(template, programids, [first + timedelta(days=day) for day in days])


def _of_dates(template: str, programids: Iterable[int], dates: Sequence[date]) -> list[str]:
    listed = list(programids)
    try:
        return [name for night in dates for name in _names(template, night, listed)]
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise ConfigError(f"source.topic_template {template!r}: {error}") from error


def _names(template: str, night: date, programids: Iterable[int]) -> Sequence[str]:
    names = (template.format(night=night, programid=programid) for programid in programids)
    return list(dict.fromkeys(names))
