"""Which topics are read: those of ours that exist, looked up now and then, never a pattern."""

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException

from worker.kafka.client import QUERY_TIMEOUT_S, SourceSettings, classified
from worker.topics import nightly_topics

log = logging.getLogger(__name__)


class Subscription:
    """Keeps the consumer subscribed; `callbacks` are subscribe's own."""

    def __init__(
        self, consumer: Consumer, settings: SourceSettings, **callbacks: Callable[..., Any]
    ) -> None:
        self._consumer, self._settings, self._callbacks = consumer, settings, callbacks
        self._subscribed: list[str] | None = None
        self._refresh_at = 0.0

    def refresh(self) -> None:
        """Subscribe anew when the set of existing topics changed; TransientError."""
        now = time.monotonic()
        if now < self._refresh_at:
            return
        try:
            existing = self._consumer.list_topics(timeout=QUERY_TIMEOUT_S).topics
        except KafkaException as error:
            raise classified(error.args[0]) from error
        self._refresh_at = now + self._settings.refresh_s
        names = self._wanted()
        found = [topic for topic in names if topic in existing]
        if found == self._subscribed:
            return
        self._subscribed = found
        if found:
            log.info("subscribing to %s", ", ".join(found))
            self._consumer.subscribe(found, **self._callbacks)
        else:
            log.warning("none of these topics exists yet: %s", ", ".join(names))
            self._consumer.unsubscribe()

    def _wanted(self) -> list[str]:
        settings = self._settings
        names = list(settings.topics)
        if settings.topic_template is not None:
            names += nightly_topics(
                settings.topic_template, settings.programids, settings.nights, time.time()
            )
        if settings.redrive_topic is not None:
            names.append(settings.redrive_topic)
        return list(dict.fromkeys(names))
