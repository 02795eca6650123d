"""Detections of a database export (Parquet, one row per detection) as stored points."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.errors import ConfigError
from worker.light_curve import copied_points
from worker.types.arrays import Bool, Float64, UInt8
from worker.types.light_curves import Points
from worker.types.packets import BANDS, Detections

BATCH_ROWS = 20_000

REQUIRED = ("objectId", "candid", "jd", "band", "magpsf", "sigmapsf", "isdiffpos", "programid")
OPTIONAL = ("magnr", "sigmagnr", "distnr")

FIDS = {**{name: fid for fid, name in BANDS.items()}, **{str(fid): fid for fid in BANDS}}
SIGNS = {"t": True, "1": True, "True": True, "f": False, "0": False, "False": False}


@dataclass(frozen=True, slots=True)
class StoredDetections:
    """N detections to be merged: objects, points, and the band of each."""

    object_id: list[str]
    points: Points
    band: UInt8


def read_detections(path: Path) -> Iterator[StoredDetections]:
    """Batches of a table's detections; `known_since` is each one's own jd.

    Columns: objectId, candid, jd [d], band (g, r, i or fid), magpsf, sigmapsf [mag], isdiffpos,
    programid; optional magnr, sigmagnr [mag], distnr [arcsec]. Raises ConfigError for a file
    that can't be read, lacks a column or holds a null or an unknown value in a required one.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - only this reads tables
        import pyarrow.parquet as pq  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigError("Parquet needs pip install 'anomaly-worker[train]'") from error
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            missing = [name for name in REQUIRED if name not in names]
            if missing:
                raise ConfigError(f"{path.name} has no column {', '.join(missing)}")
            columns = [name for name in (*REQUIRED, *OPTIONAL) if name in names]
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield _detections(path.name, batch)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"can't read {path}: {error}") from error


def _detections(name: str, batch: Any) -> StoredDetections:
    columns = {c: batch.column(c) for c in batch.schema.names}
    for column in REQUIRED:
        if columns[column].null_count:
            raise ConfigError(f"{name}: {column} is null in {columns[column].null_count} rows")
    count = batch.num_rows
    jd = _floats(columns.get("jd"), count)
    nothing = np.full(count, np.nan)
    band = _translated(name, "band", columns["band"], FIDS).astype(np.uint8)
    detections = Detections(
        packet=np.arange(count, dtype=np.int32),
        candid=columns["candid"].to_numpy(zero_copy_only=False).astype(np.int64),
        jd=jd,
        band=band,
        programid=columns["programid"].to_numpy(zero_copy_only=False).astype(np.uint8),
        positive=_translated(name, "isdiffpos", columns["isdiffpos"], SIGNS),
        magpsf=_floats(columns["magpsf"], count),
        sigmapsf=_floats(columns["sigmapsf"], count),
        **{c: _floats(columns.get(c), count) for c in OPTIONAL},
        rb=nothing, ssdistnr=nothing, diffmaglim=nothing, ra=nothing, dec=nothing,
    )  # fmt: skip
    for column in ("jd", "magpsf", "sigmapsf"):
        if not np.isfinite(getattr(detections, column)).all():
            raise ConfigError(f"{name}: {column} is not finite in some rows")
    objects = [str(value) for value in columns["objectId"].to_pylist()]
    return StoredDetections(objects, copied_points(detections, jd), band)


def _floats(column: Any, count: int) -> Float64:
    """float64 with NaN for null or ZTF's -999."""
    if column is None:
        return np.full(count, np.nan)
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(values <= -999, np.nan, values)


def _translated(name: str, column: str, values: Any, words: dict[str, Any]) -> Bool:
    texts = [str(value) for value in values.to_pylist()]
    unknown = sorted(set(texts) - words.keys())
    if unknown:
        raise ConfigError(f"{name}: {column} holds {', '.join(unknown[:3])}")
    return np.array([words[text] for text in texts])
