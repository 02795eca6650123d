"""Simulated stamps: gzipped FITS images of 63 x 63 float32 pixels, a handful for all packets."""

import gzip
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXELS = 63
CARD, BLOCK = 80, 2880
"""Bytes of a FITS header card and of a FITS block (FITS standard 4.0, section 3)."""

SEEING_PIXELS = 1.1
"""Standard deviation of a star's image."""

Image = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the packet carries as cutouts: gzipped FITS files."""

    science: bytes
    template: bytes
    difference: bytes


def make_stamps(rng: np.random.Generator, count: int) -> list[Stamps]:
    """`count` triples, every second one on an empty template."""
    return [_triple(rng, reference=number % 2 == 0) for number in range(count)]


def _triple(rng: np.random.Generator, *, reference: bool) -> Stamps:
    star, change = 4000.0 * reference, rng.uniform(300, 2500)
    template = _image(rng, star, noise=2.0)
    science = _image(rng, star + change, noise=6.0)
    difference = _image(rng, change, noise=6.5)
    return Stamps(*(gzip.compress(_fits(image), mtime=0) for image in
                    (science, template, difference)))  # fmt: skip


def _image(rng: np.random.Generator, flux: float, noise: float) -> Image:
    """A star in the middle on noise of whole counts, which compresses well."""
    offset = np.arange(PIXELS) - PIXELS // 2
    profile = np.exp(-0.5 * (offset / SEEING_PIXELS) ** 2)
    star = flux / (2 * np.pi * SEEING_PIXELS**2) * np.outer(profile, profile)
    return np.rint(star + rng.normal(0, noise, (PIXELS, PIXELS)))


def _fits(image: Image) -> bytes:
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                  -32",
        "NAXIS   =                    2",
        f"NAXIS1  = {image.shape[1]:20d}",
        f"NAXIS2  = {image.shape[0]:20d}",
        "END",
    ]
    header = "".join(card.ljust(CARD) for card in cards).encode("ascii")
    data = image.astype(">f4").tobytes()
    return header.ljust(BLOCK, b" ") + data + bytes(-len(data) % BLOCK)
