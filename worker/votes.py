"""What people say about objects: the newest vote of each person counts. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

LABELS = ("artefact", "known", "interesting")
"""artefact: not of the sky; known: real and not worth a follow-up; interesting."""

VotePolicy = Literal["mark", "lower", "hide"]
"""What becomes of dismissed objects: shown with their votes, put last, or left out."""


class Votes:
    """Votes by object, in any order of objects and in order of time for each person."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, str]] = {}

    def cast(self, object_id: str, user: str, label: str) -> None:
        """Take a vote; it replaces the person's earlier one."""
        self._labels.setdefault(object_id, {})[user] = label

    def withdraw(self, object_id: str, user: str) -> None:
        """Forget a person's vote."""
        self._labels.get(object_id, {}).pop(user, None)

    def read(self, key: bytes | None, vote: Mapping[str, Any] | None) -> None:
        """Take a record of the votes topic: its key and its decoded value."""
        if vote is not None:
            self.cast(vote["objectId"], vote["user"], vote["label"])
        elif key is not None:
            object_id, _, user = key.decode("utf-8", "replace").partition("/")
            self.withdraw(object_id, user)

    def counts(self, object_id: str) -> dict[str, int]:
        """People by label."""
        return dict(Counter(self._labels.get(object_id, {}).values()))

    def dismissed(self, object_id: str) -> bool:
        """Whether more people call the object an artefact or known than interesting."""
        counts = self.counts(object_id)
        interesting = counts.pop("interesting", 0)
        return sum(counts.values()) > interesting


def vote_key(object_id: str, user: str) -> bytes:
    """Key of a vote: one person has one vote per object."""
    return f"{object_id}/{user}".encode()
