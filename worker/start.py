"""Where a partition starts, from what the broker and the state remember. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from worker.errors import ConfigError
from worker.types.records import TopicPartition

START_WORDS = ("earliest", "latest", "stored")


@dataclass(frozen=True, slots=True)
class Start:
    """`position`: first offset to read; below `floor` records only rebuild the state.

    `lost_to_retention`: uncommitted records that the log dropped. `state_gap`: committed records
    that the state lacks and the log no longer holds. `truncated`: committed offsets that the
    log's end lies below. `first`: the broker holds no committed offset; it must get this one
    before the state is touched, or a crash in between would look as if the broker forgot.
    """

    position: int
    floor: int
    lost_to_retention: int = 0
    state_gap: int = 0
    truncated: int = 0
    first: bool = False


def start_of(
    partition: TopicPartition,
    *,
    committed: int | None,
    mark: int | None,
    low: int,
    high: int,
    requested: int | None = None,
) -> Start:
    """Decide by committed offset, state mark, the log's [low, high) and an operator's request.

    A mark without a committed offset means that the broker forgot the group: ConfigError,
    unless `requested` (the offset that --start-at names) says where to go on.
    """
    if committed is None:
        if requested is None and mark is not None:
            raise ConfigError(
                f"the broker has no offset for {partition.topic}/{partition.partition}, but the "
                f"state was merged up to {mark}: it forgot the group; say --start-at stored, "
                "earliest, latest or an ISO time"
            )
        position = max(low, low if requested is None else requested)
        return Start(position, position, first=True)
    if committed > high:
        # A broker that lost its tail hands the same offsets out again, for new records.
        return Start(high, high, truncated=committed - high)
    merged = 0 if mark is None else min(committed, mark)
    return Start(
        position=max(merged, low),
        floor=max(committed, low),
        lost_to_retention=max(0, low - committed),
        state_gap=max(0, min(low, committed) - merged),
    )


def parsed_start_at(text: str) -> str | int:
    """One of START_WORDS, or a time as Unix ms (UTC where the text names no zone); ConfigError."""
    if text in START_WORDS:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"--start-at {text}: say earliest, latest, stored or an ISO time"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
