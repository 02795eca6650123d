"""Fetching from a local HTTP server: whole, broken off, wrong, away."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from models.convert import load_any
from models.fetch import read_registry
from tests.astromer_vectors import REFERENCE, module, needs_vectors
from worker.__main__ import main


class Server(ThreadingHTTPServer):
    """Serves one body; `cut`: bytes after which it breaks off; keeps the Range headers."""

    daemon_threads = True

    def __init__(self, body, *, ranges=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.ranges, self.cut, self.asked = body, ranges, None, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start >= len(self.server.body):
            self.send_error(416)
            return
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.cut is None else body[: self.server.cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def archive():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted((REFERENCE / "a1/checkpoint_macho_a0").iterdir()):
            file.writestr(f"../../{path.name}", path.read_bytes())  # names are not trusted
    return packed.getvalue()


@pytest.fixture
def serve(tmp_path):
    """A server of a body and a registry file that names it."""
    started = []

    def start(body, digest=None, **options):
        server = Server(body, **options)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        entry = {
            "what": "a test",
            "url": server.url,
            "sha256": digest or hashlib.sha256(body).hexdigest(),
            "licence": "as it may be",
        }
        registry = tmp_path / "registry.json"
        registry.write_text(json.dumps({"it": entry}))
        return server, registry

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def run(registry, out):
    with pytest.raises(SystemExit) as stop:
        main(["model", "fetch", "it", "--out", str(out), "--registry", str(registry)])
    return stop.value.code


@needs_vectors
def test_whole(serve, archive, tmp_path, capsys):
    _, registry = serve(archive)
    out = tmp_path / "out"
    assert run(registry, out) == 0
    assert "licence: as it may be" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "encoder.safetensors"]
    fetched = load_any(out).state_dict()
    assert all(torch.equal(t, fetched[n]) for n, t in module(1).state_dict().items())


@needs_vectors
@pytest.mark.parametrize("ranges", [True, False])
def test_broken_off_and_resumed(ranges, serve, archive, tmp_path, capsys):
    server, registry = serve(archive, ranges=ranges)
    server.cut = 1_000_000
    out = tmp_path / "out"
    assert run(registry, out) == 69
    assert "start again" in capsys.readouterr().err
    assert (out / "it.zip.part").stat().st_size == 1_000_000
    server.cut = None
    assert run(registry, out) == 0
    assert server.asked == [None, "bytes=1000000-"]


@needs_vectors
def test_complete_but_not_converted_yet(serve, archive, tmp_path):
    server, registry = serve(archive)
    out = tmp_path / "out"
    out.mkdir()
    (out / "it.zip.part").write_bytes(archive)
    assert run(registry, out) == 0
    assert server.asked == [f"bytes={len(archive)}-"]


def test_another_file(serve, tmp_path, capsys):
    _, registry = serve(b"something else", digest="0" * 64)
    out = tmp_path / "out"
    assert run(registry, out) == 78
    assert "sha256 is" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("names", [[], ["weights.index"], ["a.index", "b.index"]])
def test_no_checkpoint_in_it(names, serve, tmp_path, capsys):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    _, registry = serve(packed.getvalue())
    assert run(registry, tmp_path / "out") == 78
    assert "expected, found" in capsys.readouterr().err


def test_no_zip(serve, tmp_path):
    _, registry = serve(b"no zip at all")
    assert run(registry, tmp_path / "out") == 78


def test_offline(serve, tmp_path, capsys):
    server, registry = serve(b"x")
    server.shutdown()
    server.server_close()
    assert run(registry, tmp_path / "out") == 69
    assert server.url in capsys.readouterr().err


def test_our_registry_is_complete():
    for entry in read_registry().values():
        assert entry["url"].startswith("https://")
        assert entry["licence"]
        assert "sha256" in entry or "md5" in entry


def test_unknown_name(serve, capsys):
    _, registry = serve(b"x")
    with pytest.raises(SystemExit) as stop:
        main(["model", "fetch", "other", "--registry", str(registry)])
    assert stop.value.code == 2
    assert "none of it" in capsys.readouterr().err
