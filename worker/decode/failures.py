"""What the kernel's errors mean."""

from collections.abc import Mapping

from worker.decode import kernel, ops, wire
from worker.decode.layout import Layout
from worker.decode.mapping import MAX_POINTS, MAX_VALUES, Survey
from worker.errors import InvalidPacketError

_ERRORS: Mapping[int, tuple[str, str]] = {
    wire.TRUNCATED: ("truncated", "the data ends inside a value"),
    wire.MALFORMED: ("malformed", "a value that no writer makes, or bytes are left over"),
    ops.TOO_MANY_VALUES: ("too_many_points", f"more than {MAX_VALUES} values in arrays"),
    kernel.TOO_MANY_POINTS: ("too_many_points", f"more than {MAX_POINTS} history points"),
    kernel.INVALID_VALUE: ("invalid_value", "{} is null or out of range"),
}


def error_of(code: int, field: str = "a field") -> InvalidPacketError:
    """The error of a code; `field` names what is wrong with invalid values."""
    reason, message = _ERRORS[code]
    return InvalidPacketError(reason, message.format(field))


def field_of(slot: int, layout: Layout, survey: Survey) -> str:
    """The survey's name of a slot."""
    if slot == kernel.IDENTIFIER_SLOT:
        return survey.identifiers[0][-1]
    return survey.object_id if slot == kernel.NAME_SLOT else layout.columns[slot].field
