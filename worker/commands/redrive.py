"""`redrive`: send chosen dead letters round again, after what killed them was mended."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click

from worker.commands.options import json_option, settings_options
from worker.kafka import Read
from worker.types.outcomes import DEAD_LETTER_REASONS
from worker.types.records import Message

CHUNK = 100
"""Messages that are held at once; each may be as large as the topic lets it."""

RECEIVED = "input."
"""Prefix of the headers that the original came with."""

TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"])


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters; an empty tuple and None choose everything."""

    reasons: tuple[str, ...] = ()
    candids: tuple[int, ...] = ()
    since_ms: float | None = None
    until_ms: float | None = None

    def takes(self, letter: Read) -> bool:
        """Whether a dead letter is chosen; its time is that of the dead-letter topic."""
        headers = dict(letter.headers)
        return (
            (not self.reasons or headers.get("reason", b"").decode() in self.reasons)
            and (not self.candids or headers.get("candid", b"").decode() in map(str, self.candids))
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
        )


@click.command()
@settings_options
@click.option("--reason", "reasons", multiple=True, type=click.Choice(DEAD_LETTER_REASONS),
              help="Only letters of this reason; repeatable.")  # fmt: skip
@click.option("--candid", "candids", multiple=True, type=int, help="Only this candid; repeatable.")
@click.option("--since", type=TIME, help="Only letters written at or after this time, UTC.")
@click.option("--until", type=TIME, help="Only letters written before this time, UTC.")
@click.option("--dry-run", is_flag=True, help="Count what would be sent, send nothing.")
@json_option
def redrive(
    config: Path | None,
    assignments: tuple[str, ...],
    reasons: tuple[str, ...],
    candids: tuple[int, ...],
    since: datetime | None,
    until: datetime | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy dead letters to <out>.redrive, an input of every worker.

    Mend the cause first: what still can't be read comes back as a new dead letter. A letter
    that is sent twice is scored once; the second copy is counted as a duplicate.
    """
    from worker.commands.reading import broker_settings
    from worker.kafka import produce_all, read_all
    from worker.topics import Topics

    settings = broker_settings(config, assignments)
    topics = Topics(settings.output.topic)
    choice = Choice(reasons, candids, _as_ms(since), _as_ms(until))
    counts: Counter[str] = Counter()
    letters = read_all(settings.kafka.common, topics.dead_letters)
    copies = _copies(letters, choice, topics.redrive, counts)
    while messages := list(islice(copies, CHUNK)):
        if not dry_run:
            produce_all({**settings.kafka.common, **settings.kafka.producer}, messages)
    sent = {"redriven": counts["chosen"], "short_form": counts["short"], "dry_run": dry_run}
    verb = "would be sent" if dry_run else "sent"
    line = f"{sent['redriven']} dead letters {verb} to {topics.redrive}, "
    line += f"{sent['short_form']} left out: only their first part was kept"
    click.echo(json.dumps(sent) if as_json else line)


def _copies(
    letters: Iterator[Read], choice: Choice, topic: str, counts: Counter[str]
) -> Iterator[Message]:
    """The originals of the chosen letters, as they were received."""
    for letter in letters:
        if not choice.takes(letter):
            continue
        headers = dict(letter.headers)
        if "value_sha256" in headers:
            counts["short"] += 1
            position = [headers.get(f"input_{n}", b"?") for n in ("topic", "partition", "offset")]
            where = b"/".join(position).decode()
            click.echo(f"left out, too large for the dead-letter topic: {where}", err=True)
            continue
        counts["chosen"] += 1
        received = [
            (name.removeprefix(RECEIVED), value)
            for name, value in letter.headers
            if name.startswith(RECEIVED)
        ]
        origin = f"{letter.partition.topic}/{letter.partition.partition}/{letter.offset}"
        yield Message(
            topic, letter.key, letter.value, (*received, ("redriven_from", origin.encode()))
        )


def _as_ms(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp() * 1000
