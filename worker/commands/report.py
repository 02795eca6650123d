"""An HTML page of ranked packets with their light curves: one file, no script, no network."""

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.commands.top import percentile
from worker.decode import Decoder
from worker.decode.files import read_files, record_batches
from worker.types.packets import BANDS, PacketBatch

WIDTH, HEIGHT = 420, 170
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 24

STYLE = """
:root { color-scheme: light dark; --ink: #1b1d22; --soft: #667; --line: #ddd; --paper: #fff;
  --g: #1d7f5b; --r: #c2432d; --i: #6a3fb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a2a7b3; --line: #343945;
  --paper: #14161b; --g: #5fd0a5; --r: #ff8b73; --i: #b99cff; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem; color: var(--ink);
  background: var(--paper); }
article { display: inline-block; vertical-align: top; width: 440px; max-width: 100%;
  margin: 0 .8rem 1rem 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; } p { margin: .2rem 0; }
.soft, svg text { color: var(--soft); fill: var(--soft); font-size: 12px; }
svg { width: 100%; height: auto; } line { stroke: var(--line); }
.g { fill: var(--g); stroke: var(--g); } .r { fill: var(--r); stroke: var(--r); }
.i { fill: var(--i); stroke: var(--i); } .negative { fill: none; }
"""

Place = tuple[str, int, int]
"""File name, index of the record in it, candid."""


@dataclass(frozen=True, slots=True)
class Point:
    """A detection: epoch [d], magnitude and error [mag], band, sign of the difference."""

    jd: float
    mag: float
    err: float
    band: str
    positive: bool


def place_of(row: Mapping[str, Any]) -> Place:
    """Where a scored row's packet stands."""
    return row["input_topic"], row["input_offset"], row["candid"]


def find_curves(
    decoder: Decoder, paths: Sequence[Path], wanted: Iterable[Place]
) -> dict[Place, list[Point]]:
    """The light curves that these packets carry themselves, oldest point first."""
    places = {place[:2]: place for place in wanted}
    found: dict[Place, list[Point]] = {}
    for batch in read_files(paths):
        name = batch.partitions[0].topic
        for offset, value in zip(batch.offsets.tolist(), batch.values, strict=True):
            place = places.get((name, offset))
            if place is not None:
                found[place] = _curve(decoder, value, place[2])
    return found


def write_report(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[Place, Sequence[Point]],
    summary: str,
) -> None:
    """Write the page: one card per row, in the order of the rows."""
    cards = "\n".join(
        _card(rank, row, curves.get(place_of(row), ())) for rank, row in enumerate(rows, 1)
    )
    path.write_text(
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>Ranked alerts</title>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<style>{STYLE}</style>\n<h1>Ranked alerts</h1>\n<p>{html.escape(summary)}</p>\n"
        f"<p class='soft'>Detections that each packet carries; circles g, squares r, triangles i; "
        f"hollow: fainter than the reference.</p>\n{cards}\n</html>\n",
        encoding="utf-8",
    )


def _curve(decoder: Decoder, value: bytes, candid: int) -> list[Point]:
    for records in record_batches("report", [value]):
        packets, _ = decoder.decode(records)
        rows = [row for row, found in enumerate(packets.candid.tolist()) if found == candid]
        if rows:
            return sorted(_points(packets, rows[0]), key=lambda point: point.jd)
    return []


def _points(packets: PacketBatch, row: int) -> Iterator[Point]:
    yield Point(
        float(packets.jd[row]), float(packets.magpsf[row]), float(packets.sigmapsf[row]),
        BANDS[int(packets.band[row])], bool(packets.positive[row]),
    )  # fmt: skip
    table = packets.detections
    for i in (table.packet == row).nonzero()[0].tolist():
        yield Point(
            float(table.jd[i]), float(table.magpsf[i]), float(table.sigmapsf[i]),
            BANDS[int(table.band[i])], bool(table.positive[i]),
        )  # fmt: skip


def _card(rank: int, row: Mapping[str, Any], points: Sequence[Point]) -> str:
    flags = html.escape(" ".join(row["flags"]))
    nearest = html.escape(row["nearest_class"] or "-")
    return (
        f"<article><h2>{rank}. {html.escape(row['objectId'])}</h2>\n"
        f"<p>percentile {percentile(row)}, score {row['score']:.3g}, nearest {nearest}, "
        f"{row['magpsf']:.2f} mag {html.escape(row['band'])}, {row['n_points']} points</p>\n"
        f"<p class='soft'>ra {row['ra']:.5f} dec {row['dec']:+.5f} {flags}</p>\n"
        f"{_svg(points) if points else '<p>no light curve</p>'}</article>"
    )


def _svg(points: Sequence[Point]) -> str:
    """Magnitude (brighter up) over days before the newest point."""
    newest = points[-1].jd
    first = min(points[0].jd - newest, -0.1)
    mags = [m for p in points for m in (p.mag - p.err, p.mag + p.err) if math.isfinite(m)]
    bright, faint = min(mags) - 0.05, max(mags) + 0.05

    def x(jd: float) -> float:
        return LEFT + (1 - (jd - newest) / first) * (WIDTH - LEFT - RIGHT)

    def y(mag: float) -> float:
        return TOP + (mag - bright) / (faint - bright) * (HEIGHT - TOP - BOTTOM)

    marks = "".join(_mark(p, x(p.jd), y(p.mag), y(p.mag - p.err), y(p.mag + p.err)) for p in points)
    floor = HEIGHT - BOTTOM
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'><title>{len(points)} detections</title>"
        f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{floor}' y2='{floor}'/>"
        f"<text x='2' y='{TOP + 8}'>{bright:.1f}</text><text x='2' y='{floor}'>{faint:.1f}</text>"
        f"<text x='{LEFT}' y='{HEIGHT - 6}'>{first:.0f} d</text>"
        f"<text x='{WIDTH - RIGHT}' y='{HEIGHT - 6}' text-anchor='end'>this alert</text>"
        f"{marks}</svg>"
    )


def _mark(point: Point, x: float, y: float, high: float, low: float) -> str:
    kind = point.band if point.positive else f"{point.band} negative"
    bar = f"<path class='{point.band}' d='M{x:.1f} {high:.1f}V{low:.1f}'/>"
    if point.band == "g":
        return f"{bar}<circle class='{kind}' cx='{x:.1f}' cy='{y:.1f}' r='3'/>"
    if point.band == "r":
        corner = f"x='{x - 2.6:.1f}' y='{y - 2.6:.1f}'"
        return f"{bar}<rect class='{kind}' {corner} width='5.2' height='5.2'/>"
    return f"{bar}<path class='{kind}' d='M{x:.1f} {y - 3.4:.1f}l3.2 5.8h-6.4z'/>"
