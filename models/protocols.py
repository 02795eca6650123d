"""The frozen evaluation protocols: which curves, cut how, and what is an anomaly (PROTOCOLS)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import CurveSet, cut_rows

Int64 = NDArray[np.int64]

LEAVE_ONE_OUT = ("P1_asas_loco8", "P1m_asas_loco5", "P1t_asas_short")
TRANSIENTS, STREAM, CLASSES = "P2a_crts_transients", "P2b_ztf_stream", "P3_asas_f1"
NAMES = (*LEAVE_ONE_OUT, TRANSIENTS, STREAM, CLASSES)
ALIASES = {name.split("_", 1)[0]: name for name in NAMES}

ANOMALIES = ("AGN", "BLAZAR", "CV", "FLARE", "SN")
CONTROL = "HPM"
"""High-proper-motion stars: scored, not counted."""

FIELD = "FIELD"
CUT_POINTS, CUT_BEFORE = 100, 70


class ProtocolError(ValueError):
    """A protocol that is unknown, or lists curves that the files do not hold."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """`fit`, `val`, `cal`: lists of (object, band). `merge`: class to the class it is part of.

    `lengths`: first k points that test curves are cut to. `train_lists`: objects by class.
    """

    name: str
    fit: Sequence[tuple[str, str]]
    val: Sequence[tuple[str, str]]
    cal: Sequence[tuple[str, str]]
    classes: Sequence[str]
    merge: Mapping[str, str]
    lengths: Sequence[int]
    train_lists: Mapping[str, Mapping[str, Sequence[str]]]
    min_points: Mapping[str, int]
    reference: Sequence[tuple[str, str]]


def load_protocol(path: Path, name: str) -> Protocol:
    """Read one protocol; ProtocolError when it is not there."""
    name = ALIASES.get(name, name)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))["protocols"]
        entry = table[name]
        parent = table["P1_asas_loco8"] if name in (*LEAVE_ONE_OUT, CLASSES) else entry
        merge = entry.get("merged") or table["P1m_asas_loco5"]["class_map"]
        return Protocol(
            name=name,
            **{part: _pairs(parent[part]) for part in ("fit", "val", "cal")},
            classes=entry.get("classes") or parent.get("classes") or [],
            merge=merge if name != TRANSIENTS else {},
            lengths=entry.get("k", []),
            train_lists=entry.get("train_lists", {}),
            min_points=entry.get("min_points", {}),
            reference=_pairs(entry.get("supernova_reference", [])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"{path}: no usable protocol {name}: {error!r}") from error


def together(protocols: Sequence[Protocol]) -> list[list[Protocol]]:
    """Protocols that train on the same curves and test the same ones, side by side."""
    shared = [p for p in protocols if p.name in LEAVE_ONE_OUT]
    alone = [[p] for p in protocols if p.name not in LEAVE_ONE_OUT]
    return ([shared] if shared else []) + alone


def load_list(path: Path) -> list[tuple[str, str]]:
    """A list of [object, band]; ProtocolError when it is none."""
    try:
        return _pairs(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ProtocolError(f"{path}: {error}") from error


def select(curves: CurveSet, pairs: Sequence[tuple[str, str]]) -> CurveSet:
    """The listed curves in the order of the list; ProtocolError names one that is missing."""
    places = {
        pair: row
        for row, pair in enumerate(
            zip(curves.object_id.tolist(), curves.band.tolist(), strict=True)
        )
    }
    missing = [pair for pair in pairs if pair not in places]
    if missing:
        raise ProtocolError(f"{len(missing)} of {len(pairs)} curves are missing: {missing[0]} ...")
    return curves.take(np.array([places[pair] for pair in pairs], dtype=np.int64))


def first_points(curves: CurveSet, count: int) -> CurveSet:
    """The first `count` points of each curve."""
    n = np.diff(curves.offsets)
    return _cut(curves, np.zeros(len(n), dtype=np.int64), np.minimum(n, count))


def around_brightest(curves: CurveSet) -> CurveSet:
    """100 points from 70 before the brightest on; shorter curves stay whole (P2a)."""
    n = np.diff(curves.offsets)
    brightest = np.array([
        int(np.argmin(curves.mag[a:b])) if b > a else 0
        for a, b in zip(curves.offsets[:-1], curves.offsets[1:], strict=True)
    ], dtype=np.int64)  # fmt: skip
    first = np.clip(brightest - CUT_BEFORE, 0, np.maximum(n - CUT_POINTS, 0))
    return _cut(curves, first, np.minimum(n, CUT_POINTS))


def matched(curves: CurveSet, reference: CurveSet) -> CurveSet:
    """Each curve cut to the points and span of a reference curve drawn by its object's id (P2b)."""
    n = np.diff(curves.offsets)
    first, length = np.zeros(len(n), dtype=np.int64), n.copy()
    for row, name in enumerate(curves.object_id.tolist()):
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        rng = np.random.default_rng(int(digest[:8], 16))
        model = slice(*reference.offsets[(pick := int(rng.integers(len(reference)))) : pick + 2])
        time = curves.time[curves.offsets[row] : curves.offsets[row + 1]]
        times = reference.time[model]
        start = int(rng.integers(n[row]))
        inside = int(np.searchsorted(time, time[start] + np.ptp(times), side="right")) - start
        count = min(len(times), max(inside, min(5, int(n[row]))))
        first[row] = min(start, n[row] - min(count, n[row]))
        length[row] = min(count, n[row])
    return _cut(curves, first, length)


def _cut(curves: CurveSet, first: Int64, length: Int64) -> CurveSet:
    index, offsets = cut_rows(curves.offsets, first, length)
    return replace(
        curves, offsets=offsets, time=curves.time[index], mag=curves.mag[index],
        err=curves.err[index],
    )  # fmt: skip


def _pairs(found: Any) -> list[tuple[str, str]]:
    return [(str(name), str(band)) for name, band in found]
