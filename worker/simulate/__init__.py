"""Simulated light curves as alert packets: a night, the history before it, odd records. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from worker.night import night_of_jd
from worker.simulate.packet import HISTORY_DAYS, NOTHING, Exposures, Fields, Place, write_packets
from worker.simulate.stamps import Stamps, make_stamps

LETTERS = 7
ALPHABET = 26
NIGHT_DAYS = 0.5
LONGITUDE = -116.863
"""Palomar, degrees east."""

GOOD_QUALITY = (0.7, 1.0)
POOR_QUALITY = (0.05, 0.45)
POOR_SHARE = 0.015
"""Real-bogus scores, and how many detections have a poor one."""

NON_PUBLIC_SHARE = 0.01
ASTEROID_SHARE = 0.04
REPEATED = 5
STAMPS = 8
REPEATED_POINTS = 10


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """What a survey sends.

    `night`: YYYYMMDD. `object_ids`: of the objects that were given, in their order.
    `history`: packets of earlier nights in order of time, without stamps; together they carry
    every earlier detection. `packets`: those of the night in order of time, with some that are
    broken, some sent twice and some of asteroids among them.
    """

    night: str
    object_ids: Sequence[str]
    history: Sequence[bytes]
    packets: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Single:
    """One exposure of something without history."""

    jd: NDArray[np.float64]
    fid: NDArray[np.uint8]
    limit: NDArray[np.float64]
    detected: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    magpsf: NDArray[np.float64]
    sigmapsf: NDArray[np.float64]
    reference: None = None


def simulate_packets(
    seed: int, objects: Sequence[Exposures], spotless: Collection[int] = ()
) -> SimulatedNight:
    """The packets of these objects: every alert of the last night of each, and its history.

    `spotless`: rows of objects that are public and have no poor detection. Deterministic by
    seed, byte for byte. ValueError without objects.
    """
    if not objects:
        raise ValueError("a night needs at least one object")
    rng = np.random.default_rng([seed, 1])
    end = max(float(o.jd[-1]) for o in objects)
    night = night_of_jd(end, LONGITUDE)
    prefix = f"SIM{night[2:4]}"
    stamps = make_stamps(rng, STAMPS)
    packets: list[tuple[float, bytes]] = []
    history: list[tuple[float, bytes]] = []
    repeated: list[bytes] = []
    names = []
    for number, exposures in enumerate(objects):
        name = prefix + scattered_letters(number, seed)
        place = _place(rng, number, exposures, name, good=number in spotless)
        rows = _tonight(exposures)
        values = write_packets(exposures, place, rows, stamps[number % STAMPS])
        packets += zip(exposures.jd[rows].tolist(), values, strict=True)
        carriers = _carriers(exposures, rows)
        earlier = write_packets(exposures, place, carriers, None)
        history += zip(exposures.jd[carriers].tolist(), earlier, strict=True)
        scored = (_will_be_scored(exposures, place, row) for row in rows)
        repeated += compress(values, scored)
        names.append(name)
    for number in range(len(objects), round((1 + ASTEROID_SHARE) * len(objects))):
        name = prefix + scattered_letters(number, seed)
        packets.append(_asteroid(rng, number, name, end, stamps[number % STAMPS]))
    return SimulatedNight(
        night=night,
        object_ids=names,
        history=_by_time(history),
        packets=_with_odd_records(rng, _by_time(packets), repeated),
    )


def _by_time(packets: list[tuple[float, bytes]]) -> list[bytes]:
    return [value for _, value in sorted(packets, key=lambda pair: pair[0])]


def _place(
    rng: np.random.Generator, number: int, exposures: Exposures, name: str, *, good: bool
) -> Place:
    count = len(exposures.jd)
    poor = (rng.random(count) < POOR_SHARE) & (not good)
    quality = np.where(poor, rng.uniform(*POOR_QUALITY, count), rng.uniform(*GOOD_QUALITY, count))
    public = bool(rng.random() >= NON_PUBLIC_SHARE) or good
    return Place(
        number=number,
        object_id=name,
        ra=float(np.round(rng.uniform(0, 360), 7)),
        dec=float(np.round(np.degrees(np.arcsin(rng.uniform(-0.5, 1.0))), 7)),
        neighbour=_neighbour(rng, star=exposures.reference is not None),
        quality=quality.astype(np.float32).astype(np.float64),
        programid=1 if public else 2,
    )


def scattered_letters(number: int, seed: int) -> str:
    """Seven letters: unique for each number, unlike those of its neighbours."""
    # The multiplier shares no factor with 26, so numbers below 26^7 are permuted.
    place = (number * 2_654_435_761 + seed * 40_503 + 1_234_567) % ALPHABET**LETTERS
    letters = ""
    for _ in range(LETTERS):
        place, letter = divmod(place, ALPHABET)
        letters += chr(ord("a") + letter)
    return letters


def _neighbour(rng: np.random.Generator, *, star: bool) -> Fields:
    """Nearest PS1 source: the star itself, or the galaxy that hosts a transient."""
    if star:
        score, distance = rng.uniform(0.9, 1.0), rng.uniform(0.05, 0.6)
    else:
        score, distance = rng.uniform(0.0, 0.1), rng.uniform(1.5, 8.0)
    return {"sgscore1": float(score), "distpsnr1": float(distance)}


def _tonight(exposures: Exposures) -> list[int]:
    """Rows of the last night's alerts."""
    recent = exposures.detected & (exposures.jd > exposures.jd[-1] - NIGHT_DAYS)
    return [int(row) for row in np.flatnonzero(recent)]


def _carriers(exposures: Exposures, rows: Sequence[int]) -> list[int]:
    """Earlier detections whose packets, with those of `rows`, carry all that came before."""
    detections = np.flatnonzero(exposures.detected)
    jd = exposures.jd[detections]
    chosen: list[int] = []
    reach = float(exposures.jd[rows[0]]) if rows else float(exposures.jd[-1]) + HISTORY_DAYS
    while (jd < reach - HISTORY_DAYS).any():
        newest = int(detections[jd < reach - HISTORY_DAYS][-1])
        chosen.append(newest)
        reach = float(exposures.jd[newest])
    return chosen[::-1]


def _will_be_scored(exposures: Exposures, place: Place, row: int) -> bool:
    """Safely beyond every cut and the least number of points."""
    band = exposures.detected & exposures.positive & (exposures.fid == exposures.fid[row])
    many = int(band[: row + 1].sum()) >= REPEATED_POINTS
    return many and place.programid == 1 and float(place.quality[row]) > max(POOR_QUALITY)


def _asteroid(
    rng: np.random.Generator, number: int, name: str, end: float, stamps: Stamps
) -> tuple[float, bytes]:
    """A known solar-system object: one detection where there was nothing."""
    jd = float(end - rng.uniform(0, 0.25))
    exposures = _Single(
        jd=np.array([jd]),
        fid=rng.integers(1, 3, 1).astype(np.uint8),
        limit=np.array([20.5]),
        detected=np.array([True]),
        positive=np.array([True]),
        magpsf=np.round(rng.uniform(16, 20, 1), 4),
        sigmapsf=rng.uniform(0.05, 0.15, 1),
    )
    place = replace(
        _place(rng, number, exposures, name, good=True),
        neighbour={"sgscore1": NOTHING, "distpsnr1": NOTHING},
        asteroid_arcsec=float(rng.uniform(0.1, 3.0)),
    )
    return jd, write_packets(exposures, place, [0], stamps)[0]


def _with_odd_records(
    rng: np.random.Generator, packets: list[bytes], repeated: Sequence[bytes]
) -> list[bytes]:
    """Some records sent twice, and four that can't be decoded, each in its own way."""
    whole = packets[0]
    broken = [b"", whole[: len(whole) // 2], b'{"objectId": "not avro"}', whole[:-16] + bytes(16)]
    result = list(packets)
    for value in broken:
        result.insert(int(rng.integers(len(result))), value)
    chosen = rng.permutation(len(repeated))[:REPEATED]
    for number in sorted(chosen.tolist()):
        after = result.index(repeated[number]) + 1
        result.insert(int(rng.integers(after, len(result) + 1)), repeated[number])
    return result
