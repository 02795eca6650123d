"""Published weights: downloaded, verified, converted. What there is stands in registry.json."""

import hashlib
import json
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from models.convert import describe, load_any
from models.weights import ENCODER_FILE, save_weights

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 16
MAX_MEMBER_BYTES = 1 << 30
CHECKPOINT_SUFFIXES = (".index", ".data-00000-of-00001")

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, where the server says."""


class FetchError(ValueError):
    """What was downloaded is not what the registry promises, or the registry has no such name."""


class UnreachableError(Exception):
    """The server can't be reached or broke off; what came so far is kept for the next try."""


def read_registry(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Names, addresses, checksums and licences of published weights."""
    source = files("models") / "registry.json" if path is None else path
    registry = json.loads(source.read_text(encoding="utf-8"))
    return {str(name): dict(entry) for name, entry in registry.items()}


def fetch(name: str, entry: dict[str, Any], out: Path, progress: Progress) -> dict[str, Any]:
    """Download an entry, verify and convert it into `out`; returns config.json's record.

    Raises FetchError, UnreachableError, WeightsError.
    """
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"{name}.zip.part"
    download(entry["url"], part, progress)
    check_digest(part, entry)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        module = load_any(unpack(part, Path(folder)))
    about = describe(module)
    record = {
        "encoder": about["encoder"],
        "fetched": {key: entry[key] for key in ("what", "url", "licence")},
        "labels_seen": [],
        "curves_seen": {},
    }
    save_weights(module, out / ENCODER_FILE, record)
    part.unlink()
    return record


def download(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing of `url` to `part`; starts anew where the server can't resume."""
    if not url.startswith(("https://", "http://")):
        raise FetchError(f"{url}: only https and http addresses are fetched")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - scheme checked above
    try:
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer,  # noqa: S310 - same
            part.open("ab" if answer.status == 206 else "wb") as file,
        ):
            done = have if answer.status == 206 else 0
            size = answer.headers.get("Content-Length")
            total = done + int(size) if size else None
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing
            return
        raise UnreachableError(f"{url}: {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise UnreachableError(f"{url}: {error}; start again to go on from there") from error
    if total is not None and done < total:
        raise UnreachableError(f"{url}: broke off at {done} of {total} bytes; start again to go on")


def check_digest(path: Path, entry: dict[str, Any]) -> None:
    """FetchError, and the file is gone, where it is not the registered one."""
    for algorithm in ("sha256", "md5"):
        if algorithm not in entry:
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(
                file,
                lambda: hashlib.new(algorithm, usedforsecurity=False),  # noqa: B023 - called at once
            ).hexdigest()
        if found != entry[algorithm]:
            path.unlink()
            raise FetchError(f"{entry['url']}: {algorithm} is {found}, not {entry[algorithm]}")
        return
    raise FetchError(f"{entry['url']}: the registry has no checksum")


def unpack(archive: Path, folder: Path) -> Path:
    """The checkpoint's two files out of a zip; returns its prefix. Names in it are not used."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for suffix in CHECKPOINT_SUFFIXES:
                member = _member(packed, suffix, archive.name)
                (folder / f"weights{suffix}").write_bytes(packed.read(member))
    except zipfile.BadZipFile as error:
        raise FetchError(f"{archive.name}: {error}") from error
    return folder / "weights"


def _member(packed: zipfile.ZipFile, suffix: str, archive: str) -> zipfile.ZipInfo:
    """The one file of the archive with this suffix, of a bearable size."""
    found = [i for i in packed.infolist() if i.filename.endswith(suffix)]
    if len(found) != 1:
        names = [PurePosixPath(i.filename).name for i in found]
        raise FetchError(f"{archive}: one *{suffix} expected, found {names}")
    if found[0].file_size > MAX_MEMBER_BYTES:
        raise FetchError(f"{archive}: *{suffix} is larger than 1 GiB")
    return found[0]
