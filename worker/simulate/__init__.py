"""Simulated light curves as alert packets: a night, the history before it, odd records. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.simulate.packet import HISTORY_DAYS, NOTHING, Exposures, Fields, Place, write_packet
from worker.simulate.stamps import Stamps, make_stamps

SURVEY = "simulated"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NIGHT_DAYS = 0.5

BOGUS_SHARE = 0.015
"""Detections whose real-bogus score is poor."""

ASTEROID_SHARE = 0.04
NON_PUBLIC_SHARE = 0.01
DUPLICATES = 5


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """What a survey sends.

    `object_ids`: of the objects that were given, in their order. `history`: packets of earlier
    nights, without stamps, which together carry every earlier detection. `packets`: those of
    the night in order of time, broken and repeated ones among them.
    """

    object_ids: Sequence[str]
    history: Sequence[bytes]
    packets: Sequence[bytes]


def simulate_packets(
    seed: int, objects: Sequence[Exposures], *, spotless: Sequence[int] = ()
) -> SimulatedNight:
    """The packets of these objects, every alert of the last night of each, and what comes along.

    One object in a hundred is not public, and asteroids, a few records that can't be decoded
    and a few sent twice are mixed in. Objects named in `spotless` have only good detections and
    are public. Deterministic by seed, byte for byte.
    """
    rng = np.random.default_rng([seed, 1])
    stamps = make_stamps(rng, 8)
    places = [_place(rng, number, o, seed) for number, o in enumerate(objects)]
    places = [_cleaned(p) if p.number in spotless else p for p in places]
    night: list[tuple[float, bytes]] = []
    history: list[bytes] = []
    for exposures, place in zip(objects, places, strict=True):
        rows = _alerting(exposures)
        for row in rows:
            packet = write_packet(exposures, place, row, stamps[int(rng.integers(len(stamps)))])
            night.append((float(exposures.jd[row]), packet))
        for row in _carriers(exposures, rows[0] if rows else len(exposures.jd)):
            history.append(write_packet(exposures, place, row, None))
    night += _asteroids(rng, objects, seed, stamps)
    night.sort(key=lambda pair: pair[0])
    packets = _with_odd_records(rng, [packet for _, packet in night])
    return SimulatedNight([place.object_id for place in places], history, packets)
