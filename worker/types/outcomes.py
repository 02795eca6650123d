"""How a record can end."""

from dataclasses import dataclass

DEAD_LETTER_REASONS = (
    "too_large",  # value above max_message_bytes
    "not_avro",  # empty, no OCF magic, unreadable header
    "header_too_large",
    "schema_refused",  # static check failed, or the survey mapping's required fields are missing
    "schema_unknown",  # unknown schemas are not accepted by configuration
    "codec_refused",  # codec not allowed, or inflates beyond its cap
    "truncated",  # data ends inside a value, or bytes are left over
    "malformed",  # bad union index, negative length, missing sync marker
    "multi_record",  # not exactly one record in a message of a topic
    "invalid_value",  # a mapped field is not finite, out of range, or required and null
    "too_many_points",
    "non_finite_score",
)

OUTCOMES = (
    "emitted",
    "withheld.few_points",
    "withheld.below",
    "withheld.repeated",
    "duplicate",
    "skipped.non_public",
    "skipped.real_bogus",
    "skipped.solar_system",
    "skipped.saturated",
    "skipped.short",
    *(f"dead_letter.{reason}" for reason in DEAD_LETTER_REASONS),
)
"""Every record of the input ends as exactly one of these; ledger, metrics and logs use them."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record (or one alert of it) that cannot succeed.

    `record`: row in the RecordBatch. `candid` and `object_id` where they are known.
    """

    record: int
    reason: str
    error_class: str
    error: str
    candid: int | None = None
    object_id: str | None = None
