"""Packet batches made of plain points: what the decoder would give for them."""

import numpy as np

from worker.types.packets import Detections, ForcedPoints, NonDetections, PacketBatch

NAN = float("nan")


def point(candid, jd, *, band=1, magpsf=18.0, **fields):
    """A detection as a packet carries it."""
    return {
        "candid": candid, "jd": jd, "band": band, "programid": 1, "positive": True,
        "magpsf": magpsf, "sigmapsf": 0.1, "magnr": 17.0, "sigmagnr": 0.02, "distnr": 0.3,
        "rb": 0.9, "ssdistnr": NAN, **fields,
    }  # fmt: skip


def packet(name, own, history=()):
    """One packet: its object, its own point, the history that it carries."""
    return name, own, tuple(history)


def packet_batch(packets):
    """The columns of these packets."""
    own = [p for _, p, _ in packets]
    history = [(row, h) for row, (_, _, points) in enumerate(packets) for h in points]
    rows = len(packets)
    unknown = np.full(rows, NAN)
    mine, carried = columns(own), columns([h for _, h in history])
    mine["drb"] = np.array([p.get("drb", NAN) for p in own], dtype=np.float64)
    return PacketBatch(
        record=np.arange(rows, dtype=np.int32),
        schemas=[b"{}"],
        schema=np.zeros(rows, np.int32),
        blocks=[b""] * rows,
        body=np.zeros((rows, 2), np.int64),
        spans={},
        object_id=[name for name, _, _ in packets],
        **mine,
        **dict.fromkeys(
            ("ra", "dec", "diffmaglim", "distpsnr1", "sgscore1", "chinr", "sharpnr"), unknown
        ),
        detections=Detections(
            packet=np.array([row for row, _ in history], dtype=np.int32),
            **carried,
            **dict.fromkeys(("diffmaglim", "ra", "dec"), np.full(len(history), NAN)),
        ),
        non_detections=NonDetections(*nothing(5)),
        forced=ForcedPoints(*nothing(8)),
    )


def columns(points):
    kinds = {"candid": np.int64, "band": np.uint8, "programid": np.uint8, "positive": bool}
    names = ("candid", "jd", "band", "programid", "positive", "magpsf", "sigmapsf", "magnr",
             "sigmagnr", "distnr", "rb", "ssdistnr")  # fmt: skip
    return {
        name: np.array([p[name] for p in points], dtype=kinds.get(name, np.float64))
        for name in names
    }


def nothing(count):
    return [np.empty(0) for _ in range(count)]
