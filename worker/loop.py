"""The run loop: the shell around the rooms, used by `run`, `demo`, `score` and the tests alike."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from worker.cuts import judge_packets
from worker.errors import BatchAbortedError, ConfigError
from worker.judge import RecentScores, effective_p, judge, with_own_batch
from worker.ledger import ledger_record
from worker.light_curve import light_curves
from worker.metrics import Metrics
from worker.outcome import Outcomes, partition_of, settle, unscorable
from worker.patience import Patience, Stopped
from worker.rooms import Rooms, Rules
from worker.types.arrays import Bool, Int32
from worker.types.judgement import Claims, Emission, Judgement, ScoredBatch
from worker.types.light_curves import LightCurves, StoredCurves
from worker.types.outcomes import DeadLetter
from worker.types.packets import PacketBatch
from worker.types.records import Message, RecordBatch, TopicPartition
from worker.types.scores import PValues, Scores
from worker.types.windows import WindowBatch
from worker.window import cut_windows

log = logging.getLogger(__name__)

WATCHED_RECORDS = 1000
"""Records over which the share of dead letters is watched (design: Failure rules)."""

TOLERATED_DEAD_LETTERS = 20
"""Fewer than this never stop the worker: a handful of bad records is no broken stream."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A batch that is decoded and in the state; `fates`: per packet the cut that removed it."""

    packets: PacketBatch
    dead: Sequence[DeadLetter]
    fates: Sequence[str | None]
    stored: StoredCurves


@dataclass(frozen=True, slots=True)
class InFlight:
    """A batch that was read; `fresh` (N,): records at or above the committed offset."""

    records: RecordBatch
    fresh: Bool
    merged: Future[Merged]


class Loop:
    """Poll, decode, merge, cut, score, claim, judge, commit; until asked to stop.

    While a batch is scored and committed here, the next one that waits already is decoded and
    merged on a second thread. That is safe because merging is idempotent and commutative and
    curves are read as of their packet; everything else happens here, in the order of the input.
    """

    def __init__(self, rooms: Rooms, rules: Rules, metrics: Metrics, stop: threading.Event) -> None:
        self._source, self._encoder, self._scorer = rooms.source, rooms.encoder, rooms.scorer
        self._rules, self._metrics, self._stop = rules, metrics, stop
        self._patience = Patience(rooms.source, metrics, stop)
        self._recent = RecentScores()
        self._dead_letter_watch: deque[bool] = deque(maxlen=WATCHED_RECORDS)
        self._merger = ThreadPoolExecutor(1, "merge")
        self._poll = metrics.timed("poll", rooms.source.poll_batch)
        self._read_ahead = metrics.timed("poll", rooms.source.read_ahead)
        self._decode = metrics.timed("decode", rooms.decoder.decode)
        self._merge = metrics.timed("state", rooms.store.merge)
        self._await = metrics.timed("wait", Future[Merged].result)
        self._cut = metrics.timed("window", self._windows)
        self._score = metrics.timed("score", self._scored)
        self._claim = metrics.timed("claim", rooms.store.claim)
        self._encode = metrics.timed("encode", self._messages)
        self._commit = metrics.timed("commit", rooms.sink.commit)
        self._remember = metrics.timed("remember", rooms.store.remember)
        self._prepared = metrics.spans.around("prepare", self._prepare)
        self._finished = metrics.spans.around("finish", self._finish)

    def run(self) -> None:
        """Work until stopped. Raises what only a restart or a person can mend."""
        batch: InFlight | None = None
        with self._merger:
            while batch is not None or not self._stop.is_set():
                try:
                    batch = self._step(batch)
                except BatchAbortedError as error:
                    log.warning("batch aborted, rewinding: %s", error)
                    self._metrics.aborted_batches.inc()
                    self._source.rewind()
                    batch = None
                except Stopped:
                    return

    def _step(self, batch: InFlight | None) -> InFlight | None:
        """Finish a batch, the next one if none is given; returns the one after it, if it waits."""
        batch = batch or self._started(self._patience(self._poll))
        if batch is None:
            return None
        ahead = None
        if not self._stop.is_set():
            ahead = self._started(self._patience.once(self._read_ahead))
        self._finished(batch)
        if ahead is not None:
            self._source.advance()
        return ahead

    def _started(self, records: RecordBatch | None) -> InFlight | None:
        if not records:
            return None
        floors = np.array([self._source.replayed_below(p) for p in records.partitions])
        fresh = np.asarray(records.offsets >= floors[records.source])
        return InFlight(records, fresh, self._merger.submit(self._prepared, records))

    def _prepare(self, records: RecordBatch) -> Merged:
        packets, dead = self._decode(records)
        fates = judge_packets(packets, self._rules.window.cuts)
        public = np.array([fate != "skipped.non_public" for fate in fates], dtype=bool)
        return Merged(packets, dead, fates, self._merge(packets, public, records.next_offsets))

    def _merged(self, batch: InFlight) -> Merged:
        """The batch once it is in the state; where that failed, the same again until it works."""
        merged = self._patience.once(self._await, batch.merged)
        return merged or self._patience(self._prepared, batch.records)

    def _finish(self, batch: InFlight) -> None:
        """One batch: each record ends as alert, counted skip, duplicate or dead letter."""
        records, fresh, merged = batch.records, batch.fresh, self._merged(batch)
        packets, fates = merged.packets, merged.fates
        curves, windows, short = self._cut(merged, fresh)
        scores, pvalues = self._score(windows)
        claims = self._claimed(records, packets, windows, scores)
        judgement, claims = self._judged(packets, windows, scores, pvalues, claims)
        scored = ScoredBatch(
            records, packets, curves, windows, scores, pvalues, claims, judgement
        )  # fmt: skip
        outcomes = settle(scored, merged.dead, fates, short, fresh, self._rules.longitude)
        if outcomes:
            watch = self._watched(outcomes)
            dead = [letter for letter in merged.dead if fresh[letter.record]]
            self._commit(self._encode(scored, dead, outcomes), _offsets_of(records, fresh))
            self._dead_letter_watch = watch
        self._account(scored, outcomes)

    def _windows(self, merged: Merged, fresh: Bool) -> tuple[LightCurves, WindowBatch, Int32]:
        """The curves as of their packets, the windows to score, the packets with too short ones."""
        curves = light_curves(merged.packets, merged.stored)
        rows = _rows_to_score(merged.fates, fresh[merged.packets.record])
        return curves, *cut_windows(merged.packets, curves, rows, self._rules.window)

    def _scored(self, windows: WindowBatch) -> tuple[Scores, PValues]:
        scores = self._scorer.score(
            windows.offsets, windows.jd, windows.mag, windows.err, windows.kind
        )
        survey = self._rules.provenance.survey
        return scores, self._scorer.p_values(survey, windows.kind, windows.n_points, scores)

    def _claimed(
        self, records: RecordBatch, packets: PacketBatch, windows: WindowBatch, scores: Scores
    ) -> Claims:
        """Claim the candids of the rows with a finite score; other rows claim nothing."""
        finite = np.flatnonzero(np.isfinite(scores.score))
        rows = windows.packet[finite]
        positions = [
            (partition_of(records, record), int(records.offsets[record]))
            for record in packets.record[rows].tolist()
        ]
        names = [packets.object_id[row] for row in rows.tolist()]
        claims = self._patience(self._claim, names, packets.candid[rows], positions)
        first = np.ones(len(windows), dtype=bool)
        first[finite] = claims.first
        emissions: list[Sequence[Emission]] = [()] * len(windows)
        for row, earlier in zip(finite.tolist(), claims.emissions, strict=True):
            emissions[row] = earlier
        return Claims(first=first, emissions=emissions)

    def _judged(
        self,
        packets: PacketBatch,
        windows: WindowBatch,
        scores: Scores,
        pvalues: PValues,
        claims: Claims,
    ) -> tuple[Judgement, Claims]:
        rows = windows.packet
        names = [packets.object_id[row] for row in rows.tolist()]
        candids, jds = packets.candid[rows].tolist(), packets.jd[rows]
        verdict = judge(
            windows,
            names,
            candids,
            jds,
            scores,
            pvalues,
            claims,
            self._recent,
            self._rules.emission,
        )
        p = effective_p(pvalues)
        return verdict, with_own_batch(claims, verdict, names, candids, jds, p)

    def _messages(
        self, batch: ScoredBatch, dead: Sequence[DeadLetter], outcomes: Outcomes
    ) -> list[Message]:
        now_ms = int(time.time() * 1000)
        letters = [*dead, *unscorable(batch)]
        content = ledger_record(batch.records, outcomes, self._rules.provenance, now_ms)
        return [
            *self._encoder.alerts(batch, now_ms),
            *self._encoder.scores(batch, now_ms),
            *self._encoder.dead_letters(batch.records, letters),
            self._encoder.ledger(content),
        ]

    def _watched(self, outcomes: Outcomes) -> deque[bool]:
        """The watch with this batch, kept once it is committed: an aborted one comes again.

        Raises ConfigError when too much of the stream can't be read.
        """
        watch = self._dead_letter_watch.copy()
        watch.extend(outcome.startswith("dead_letter") for outcome in outcomes.outcome)
        count, share = sum(watch), self._rules.max_dead_letter_share
        if count >= TOLERATED_DEAD_LETTERS and count > share * len(watch):
            worst = Counter(o for o in outcomes.outcome if o.startswith("dead_letter"))
            raise ConfigError(
                f"{count} of the last {len(watch)} records are dead letters (most: "
                f"{worst.most_common(1)[0][0]}); to pass, set dead_letters.max_share = 1"
            )
        return watch

    def _account(self, batch: ScoredBatch, outcomes: Outcomes) -> None:
        """After the commit: remember emissions, count, observe latency."""
        emitted = np.array([o == "emitted" for o in batch.judgement.outcome], dtype=bool)
        counted = np.array(
            [o.startswith(("emitted", "withheld")) for o in batch.judgement.outcome], dtype=bool
        )
        rows = batch.windows.packet[emitted]
        names = [batch.packets.object_id[row] for row in rows.tolist()]
        p = effective_p(batch.pvalues)[emitted]
        self._patience(self._remember, names, batch.packets.candid[rows], batch.packets.jd[rows], p)
        self._recent = self._recent.extended(
            batch.windows.kind, batch.pvalues, batch.scores, counted
        )
        self._metrics.batch_alerts.observe(len(batch.records))
        self._metrics.rebuilt_records.inc(len(batch.records) - len(set(outcomes.record)))
        self._metrics.count_outcomes(outcomes.counts())
        self._metrics.observe_scores(batch.windows.n_points, batch.scores.score, batch.pvalues.p)
        now_s = time.time()
        for stamp_ms in batch.records.timestamps_ms[list(set(outcomes.record))].tolist():
            self._metrics.end_to_end_seconds.observe(max(0.0, now_s - stamp_ms / 1000))


def _rows_to_score(fates: Sequence[str | None], fresh: Bool) -> Int32:
    """Packets that no cut removed and that were not committed before."""
    kept = np.array([fate is None for fate in fates], dtype=bool)
    return np.flatnonzero(kept & fresh).astype(np.int32)


def _offsets_of(records: RecordBatch, fresh: Bool) -> dict[TopicPartition, int]:
    """What the commit names: partitions that brought only committed records are left out."""
    sources = {records.partitions[s] for s in records.source[fresh].tolist()}
    return {tp: offset for tp, offset in records.next_offsets.items() if tp in sources}
