"""An artefact: encoder, heads, calibrations, card and the digests of all of them.

models/artifacts/<name>/<version>/
    config.json  encoder.safetensors  heads.safetensors  card.md  SHA256SUMS
    provisional.safetensors  calibration-<survey>.safetensors
"""

import hashlib
from pathlib import Path

SUMS = "SHA256SUMS"
HEADS_FILE = "heads.safetensors"
PROVISIONAL_FILE = "provisional.safetensors"
CALIBRATION_PREFIX = "calibration-"


class ArtifactError(ValueError):
    """An artefact that is incomplete or was changed after it was made."""


def write_sums(directory: Path) -> str:
    """Write SHA256SUMS of every file; returns the artefact's digest."""
    lines = [f"{_digest(path)}  {path.name}\n" for path in _files(directory)]
    (directory / SUMS).write_text("".join(lines), encoding="utf-8")
    return artifact_digest(directory)


def verify(directory: Path) -> str:
    """Check every file against SHA256SUMS and return the artefact's digest; ArtifactError."""
    try:
        lines = (directory / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ArtifactError(f"no artefact: {error.strerror}") from error
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    listed = {name: digest for digest, name in pairs}
    present = {path.name for path in _files(directory)}
    if listed.keys() != present:
        raise ArtifactError(f"files differ from {SUMS}: {sorted(listed.keys() ^ present)}")
    for name, digest in listed.items():
        if _digest(directory / name) != digest:
            raise ArtifactError(f"{name} was changed: its digest is not that of {SUMS}")
    return artifact_digest(directory)


def artifact_digest(directory: Path) -> str:
    """The digest that messages carry: that of SHA256SUMS."""
    return _digest(directory / SUMS)


def _files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.iterdir() if p.is_file() and p.name != SUMS)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
