"""What the loop needs of each room, as Protocols, and the rules that it decides by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.judge import EmissionPolicy
from worker.types.arrays import Bool, Float64, Int64
from worker.types.judgement import Claims, Provenance, ScoredBatch
from worker.types.light_curves import StoredCurves
from worker.types.outcomes import DeadLetter
from worker.types.packets import PacketBatch
from worker.types.records import Message, RecordBatch, TopicPartition
from worker.types.scores import Scorer
from worker.window import WindowPolicy


class Source(Protocol):
    """Where records come from."""

    def poll_batch(self) -> RecordBatch:
        """The next batch, empty when nothing waits."""

    def read_ahead(self) -> RecordBatch:
        """What waits already, while the last batch is still worked on; empty when nothing does.

        The last batch stays the one that a commit or a rewind is about, until `advance`.
        """

    def advance(self) -> None:
        """The batch that was read ahead is now the last one."""

    def replayed_below(self, partition: TopicPartition) -> int:
        """Offsets below this were committed before: they rebuild state and nothing else."""

    def heartbeat(self) -> None:
        """Keep the membership while the loop waits; returns no records."""

    def rewind(self) -> None:
        """Go back to before the last batch; what was read ahead of it is dropped too."""


class Sink(Protocol):
    """Where messages and positions go, all or nothing."""

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Publish and commit in one step."""


class Decoder(Protocol):
    """Bytes to columns."""

    def decode(self, records: RecordBatch) -> tuple[PacketBatch, list[DeadLetter]]:
        """Every record becomes packets or a dead letter."""


class Store(Protocol):
    """Light-curve state."""

    def merge(
        self, packets: PacketBatch, public: Bool, next_offsets: Mapping[TopicPartition, int]
    ) -> StoredCurves:
        """Merge the public packets; what the state then holds of their objects."""

    def claim(
        self,
        object_ids: Sequence[str],
        candids: Int64,
        positions: Sequence[tuple[TopicPartition, int]],
    ) -> Claims:
        """Who scored a candid first, and the objects' earlier emissions."""

    def remember(
        self, object_ids: Sequence[str], candids: Int64, jds: Float64, ps: Float64
    ) -> None:
        """Add emissions, after the commit."""


class Encoder(Protocol):
    """Columns to messages."""

    def scores(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One slim message per scored window."""

    def alerts(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One full message per emitted window."""

    def dead_letters(self, records: RecordBatch, dead: Sequence[DeadLetter]) -> list[Message]:
        """One message per dead letter."""

    def ledger(self, content: Mapping[str, object]) -> Message:
        """The books of the batch."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts that the loop drives."""

    source: Source
    decoder: Decoder
    store: Store
    scorer: Scorer
    encoder: Encoder
    sink: Sink


@dataclass(frozen=True, slots=True)
class Rules:
    """What the loop decides by."""

    provenance: Provenance
    window: WindowPolicy
    emission: EmissionPolicy
    longitude: float
    max_dead_letter_share: float
