"""Light curves from parquet files: one row per object and band, as ragged arrays."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

NON_COMMERCIAL = frozenset({"JesusPetro/mantra"})
"""Sources whose terms forbid commercial use: never in a packaged model."""

TRANSIENTS = ("AGN", "BLAZAR", "CV", "FLARE", "SN", "HPM")
"""Classes and groups of CRTS that protocol P2a looks for; no training may see their curves."""


SMALLEST_CURVE = 5
"""Points below which a curve is not scored."""


@dataclass(frozen=True, slots=True)
class CurveSet:
    """Ragged light curves with labels; curve *i* is `offsets[i]:offsets[i + 1]`.

    `time` [d], `mag`, `err` [mag] float64, ascending time. `group`: harmonised class group,
    empty where unlabelled. `apparent`: total light, else difference magnitudes.
    """

    offsets: Int64
    time: Float64
    mag: Float64
    err: Float64
    object_id: NDArray[np.str_]
    survey: NDArray[np.str_]
    band: NDArray[np.str_]
    label: NDArray[np.str_]
    group: NDArray[np.str_]
    apparent: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.integer]) -> "CurveSet":
        """These curves, in this order; a row may occur twice."""
        index, offsets = ragged_rows(self.offsets, np.asarray(rows))
        return CurveSet(
            offsets, self.time[index], self.mag[index], self.err[index], self.object_id[rows],
            self.survey[rows], self.band[rows], self.label[rows], self.group[rows],
            self.apparent[rows],
        )  # fmt: skip


def ragged_rows(offsets: Int64, rows: NDArray[np.integer]) -> tuple[Int64, Int64]:
    """Point indices of these rows, and the offsets of the result."""
    lengths = offsets[rows + 1] - offsets[rows]
    new = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.arange(new[-1]) - np.repeat(new[:-1] - offsets[rows], lengths)
    return index, new


def cut_rows(offsets: Int64, first: Int64, length: Int64) -> tuple[Int64, Int64]:
    """Point indices of `length[i]` points from `first[i]` of each row, and new offsets."""
    new = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    index = np.arange(new[-1]) - np.repeat(new[:-1] - (offsets[:-1] + first), length)
    return index, new


def concatenate(sets: Sequence[CurveSet]) -> CurveSet:
    """All curves of several sets."""
    lengths = np.concatenate([np.diff(s.offsets) for s in sets])
    join = np.concatenate
    return CurveSet(
        join([[0], np.cumsum(lengths)]).astype(np.int64),
        join([s.time for s in sets]),
        join([s.mag for s in sets]),
        join([s.err for s in sets]),
        join([s.object_id for s in sets]),
        join([s.survey for s in sets]),
        join([s.band for s in sets]),
        join([s.label for s in sets]),
        join([s.group for s in sets]),
        join([s.apparent for s in sets]),
    )


def load_curves(
    paths: Iterable[Path], *, commercial: bool = True, smallest: int = SMALLEST_CURVE
) -> CurveSet:
    """Read parquet files of light curves; `commercial` leaves out non-commercial sources.

    Curves with fewer than `smallest` points are left out. Points without a finite time and
    magnitude or a positive error are dropped. Raises OSError and ValueError for files that
    can't be read or lack a column.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - only training reads parquet
    import pyarrow.parquet as pq  # noqa: PLC0415 - same

    sets = []
    for path in paths:
        table = pq.read_table(path)
        if commercial:
            banned = pc.is_in(table["source"], value_set=pc.cast(list(NON_COMMERCIAL), "string"))
            table = table.filter(pc.invert(banned))
        columns = {name: table[name].to_pylist() for name in
                   ("object_id", "survey", "band", "class", "class_group", "mag_kind")}  # fmt: skip
        lists = {name: table[name].combine_chunks() for name in ("mjd", "mag", "magerr")}
        offsets = np.asarray(lists["mjd"].offsets, dtype=np.int64)
        text = {n: np.array([v or "" for v in values]) for n, values in columns.items()}
        sets.append(
            CurveSet(
                offsets - offsets[0],
                np.asarray(lists["mjd"].flatten(), dtype=np.float64),
                np.asarray(lists["mag"].flatten(), dtype=np.float64),
                np.asarray(lists["magerr"].flatten(), dtype=np.float64),
                text["object_id"],
                text["survey"],
                text["band"],
                text["class"],
                text["class_group"],
                text["mag_kind"] == "apparent",
            )
        )
    return _clean(concatenate(sets), smallest)


def part_of(object_id: str) -> str:
    """fit, val or cal, by the object's id alone (PROTOCOLS)."""
    number = int(hashlib.md5(object_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100
    if number < 75:
        return "fit"
    return "val" if number < 85 else "cal"


def random_pieces(rng: np.random.Generator, curves: CurveSet, low: int, high: int) -> CurveSet:
    """One contiguous piece of each curve, its length log-uniform from `low` to `high` points."""
    n = np.diff(curves.offsets)
    wanted = np.exp(rng.uniform(np.log(low), np.log(high + 1), len(n))).astype(np.int64)
    length = np.minimum(wanted, n)
    first = (rng.random(len(n)) * (n - length + 1)).astype(np.int64)
    index, offsets = cut_rows(curves.offsets, first, length)
    return CurveSet(
        offsets, curves.time[index], curves.mag[index], curves.err[index], curves.object_id,
        curves.survey, curves.band, curves.label, curves.group, curves.apparent,
    )  # fmt: skip


def without_transients(curves: CurveSet) -> CurveSet:
    """All curves but the anomalies of protocol P2a and its control, stars that move fast."""
    names = np.isin(curves.group, TRANSIENTS) | np.isin(curves.label, TRANSIENTS)
    return curves.take(np.flatnonzero(~((curves.survey == "CRTS") & names)))


def _clean(curves: CurveSet, smallest: int) -> CurveSet:
    good = np.isfinite(curves.time) & np.isfinite(curves.mag) & (curves.err > 0)
    row = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    lengths = np.bincount(row[good], minlength=len(curves))
    kept = CurveSet(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), curves.time[good],
        curves.mag[good], curves.err[good], curves.object_id, curves.survey, curves.band,
        curves.label, curves.group, curves.apparent,
    )  # fmt: skip
    return kept.take(np.flatnonzero(lengths >= smallest))
