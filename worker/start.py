"""Where a partition starts, from what the broker and the state remember. Pure."""

from dataclasses import dataclass

from worker.errors import ConfigError
from worker.types import TopicPartition


@dataclass(frozen=True, slots=True)
class Start:
    """`position`: first offset to read; below `floor` records only rebuild the state.

    `lost_to_retention`: committed records that the log dropped unread. `state_gap`: records
    that the state lacks and the log no longer holds.
    """

    position: int
    floor: int
    lost_to_retention: int = 0
    state_gap: int = 0


def start_of(
    partition: TopicPartition,
    committed: int | None,
    mark: int | None,
    low: int,
    requested: int | None,
) -> Start:
    """Decide by committed offset, state mark, the log's first offset and an operator's request.

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
        return Start(position, position)
    if committed < low:
        return Start(low, low, lost_to_retention=low - committed)
    wanted = low if mark is None else min(committed, mark)
    return Start(max(wanted, low), committed, state_gap=max(0, low - wanted))
