"""`rank`: keep the order of every night on the ranking topic; one replica."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import click

from worker.commands.options import settings_options
from worker.commands.reading import broker_settings, decoded, newest_rankings
from worker.commands.shutdown import stop_on_signals
from worker.commands.webhook import night_text, post
from worker.encode import write_ranking
from worker.errors import UnavailableError
from worker.kafka import Read, TopicReader, produce_all
from worker.logs import configure
from worker.night import night_of_jd, night_of_timestamp
from worker.ranking import NightRanking, RankingPolicy
from worker.settings import Settings
from worker.topics import Topics
from worker.votes import Votes

log = logging.getLogger(__name__)

REWRITE_S = 10.0
"""A ranking that changes is written this often at most."""

POLL_S = 0.5
KEPT_DAYS = 8
"""A night leaves memory this long after its newest score; the topic holds seven days."""

DAY_MS = 86_400_000

ATTEMPTS = 5
"""How often the webhook is tried before a night is closed without it."""


@click.command()
@settings_options
@click.option("--until-eof", is_flag=True, help="Rank what is there and end.")
def rank(config: Path | None, assignments: tuple[str, ...], *, until_eof: bool) -> None:
    """Keep each night's ranking up to date from scores and votes; until TERM or INT.

    Run one: two would write the same records twice. It keeps nothing of its own, so it can be
    stopped and started at any time.
    """
    from worker.commands.run import prepare_topics

    settings = broker_settings(config, assignments)
    configure(settings.worker.log_format)
    stop = stop_on_signals(settings.worker.shutdown_timeout_s)
    prepare_topics(settings)
    ranker = Ranker(settings)
    try:
        ranker.catch_up()
        if not until_eof:
            ranker.run(stop)
    finally:
        ranker.close()


class Ranker:
    """Reads scores and votes, writes rankings that changed."""

    def __init__(self, settings: Settings, rewrite_s: float = REWRITE_S) -> None:
        self._settings, self._rewrite_s = settings, rewrite_s
        self._topics = Topics(settings.output.topic)
        self._longitude = settings.source.longitude
        self._policy = RankingPolicy(
            budget=1.0 - settings.output.min_percentile / 100.0, votes=settings.ranking.votes
        )
        self._told_attempts = 0
        self._votes = Votes()
        self._nights: dict[tuple[str, str], NightRanking] = {}
        self._published: dict[tuple[str, str], dict[str, Any]] = {}
        self._score_reader = TopicReader(settings.kafka.common, self._topics.scores)
        self._vote_reader = TopicReader(settings.kafka.common, self._topics.votes)

    def catch_up(self) -> None:
        """Read everything that is there and write what differs from the published rankings."""
        for key, record in newest_rankings(self._settings).items():
            del record["updated_at_ms"]
            self._published[key] = record
        for read in self._vote_reader.drain():
            self._votes.read(read.key, decoded(read))
        self._finish()

    def run(self, stop: threading.Event) -> None:
        """Follow the topics until asked to stop; what is there by then is written too."""
        due = time.monotonic() + self._rewrite_s
        idle = False
        while not stop.is_set():
            read = self._score_reader.poll(POLL_S)
            idle = read is None
            if read is not None:
                self._add(read)
            if time.monotonic() >= due:
                self._read_votes()
                self.publish(idle=idle)
                due = time.monotonic() + self._rewrite_s
        self._finish()
        log.info("drained")

    def publish(self, *, idle: bool) -> None:
        """Write the rankings that changed; `idle`: everything scored so far was counted."""
        now_ms = int(time.time() * 1000)
        tonight = night_of_timestamp(now_ms, self._longitude)
        messages = []
        for key, ranking in self._nights.items():
            before = self._published.get(key, {})
            over = idle and ranking.night < tonight
            content = ranking.content(
                self._votes, self._policy, final=over or before.get("final", False)
            )
            # A night of which the topic has lost the beginning keeps its old ranking.
            if content == before or content["scored"] < before.get("scored", 0):
                continue
            if over and not before.get("final", False):
                content["final"] = self._told(content, now_ms)
            messages.append(write_ranking(self._topics, {**content, "updated_at_ms": now_ms}))
            self._published[key] = content
        if messages:
            kafka = self._settings.kafka
            produce_all({**kafka.common, **kafka.producer}, messages)
            log.info("%d rankings written", len(messages))
        forgotten = now_ms - KEPT_DAYS * DAY_MS
        self._nights = {k: r for k, r in self._nights.items() if r.newest_ms >= forgotten}

    def _told(self, content: dict[str, Any], now_ms: int) -> bool:
        """Tell the webhook of last night's end; False: try again at the next writing."""
        url = self._settings.webhook_url
        last_night = night_of_timestamp(now_ms - DAY_MS, self._longitude)
        if url is None or content["night"] != last_night or self._told_attempts >= ATTEMPTS:
            return True
        self._told_attempts += 1
        try:
            post(url, night_text(content, self._settings.ranking.webhook_rows))
        except UnavailableError as error:
            log.warning("%s; attempt %d of %d", error, self._told_attempts, ATTEMPTS)
            return self._told_attempts >= ATTEMPTS
        self._told_attempts = 0
        return True

    def close(self) -> None:
        """End the clients."""
        self._score_reader.close()
        self._vote_reader.close()

    def _finish(self) -> None:
        for read in self._score_reader.drain():
            self._add(read)
        self.publish(idle=True)

    def _add(self, read: Read) -> None:
        score = decoded(read)
        if score is None:
            return
        key = score["survey"], night_of_jd(score["jd"], self._longitude)
        if key not in self._nights:
            self._nights[key] = NightRanking(*key)
        self._nights[key].add(score)

    def _read_votes(self) -> None:
        while (read := self._vote_reader.poll(0.0)) is not None:
            self._votes.read(read.key, decoded(read))
