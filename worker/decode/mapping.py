"""Where the worker's columns lie in a ZTF packet: a table of names, not code per version.

Source: ZTF alert schemas 1.3 to 4.02. Sentinels of -999 (no match) are read as null.
"""

from collections.abc import Mapping

REQUIRED = ("jd", "fid", "isdiffpos", "programid", "magpsf", "sigmapsf", "ra", "dec")
"""Fields of `candidate` without which a packet can't be used."""

OPTIONAL: Mapping[str, bool] = {
    "diffmaglim": False,
    "magnr": True,
    "sigmagnr": True,
    "distnr": True,
    "rb": False,
    "drb": False,
    "ssdistnr": True,
    "distpsnr1": True,
    "sgscore1": True,
    "chinr": True,
    "sharpnr": True,
}
"""Fields of `candidate` that may be null or absent; True: -999 stands for null."""

DETECTION: Mapping[str, bool] = {
    "magnr": True,
    "sigmagnr": True,
    "distnr": True,
    "rb": False,
    "ssdistnr": True,
    "diffmaglim": False,
    "ra": False,
    "dec": False,
}
"""Optional fields of a history detection; True: -999 stands for null."""

SENTINEL = -999.0

FAILED_FIT = -99999.0
"""Forced photometry whose fit failed, in flux and error alike."""

POSITIVE: Mapping[object, bool] = {"t": True, "1": True, "f": False, "0": False}
"""Spellings of isdiffpos."""

RANGES: Mapping[str, tuple[float, float]] = {
    "jd": (2_400_000.0, 2_500_000.0),
    "ra": (0.0, 360.0),
    "dec": (-90.0, 90.0),
    "magpsf": (-30.0, 50.0),
    "sigmapsf": (0.0, 100.0),
}
"""What a mapped value may be; outside lies invalid_value."""

MAX_POINTS = 5000
MAX_STRING = 256
