"""The engine: any batch, any bucket, any precision, bad input."""

import itertools

import numpy as np
import pytest
import torch

from models.astromer import ASTROMER_1, ASTROMER_2, Astromer, AstromerConfig
from models.engine import BUCKETS, IN_FLIGHT, Embedder, buckets
from models.windows import model_inputs
from tests.astromer_vectors import REFERENCE, module

SMALL = AstromerConfig(
    layers=2, width=32, hidden=64, positions="log", channels="mag_error", pooling="mean_max",
    targets=7,
)  # fmt: skip


def encoder(name):
    """Real weights where they are here, else random ones of the same shape."""
    if name in {"astromer 1", "astromer 2"}:
        version = int(name[-1])
        if REFERENCE.is_dir():
            return module(version)
        torch.manual_seed(0)
        return Astromer({1: ASTROMER_1, 2: ASTROMER_2}[version])
    torch.manual_seed(0)
    return Astromer(SMALL)


def curves(rng, lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    jd = np.concatenate([2_459_000 + np.sort(rng.uniform(0, 900, n)) for n in lengths])
    mag = 18 + rng.normal(0, 0.3, len(jd))
    return offsets, jd, mag, rng.uniform(0.02, 0.2, len(jd))


def one(found, row):
    offsets, *columns = found
    part = slice(offsets[row], offsets[row + 1])
    return np.array([0, part.stop - part.start]), *(c[part] for c in columns)


def take(found, rows):
    parts = [one(found, row) for row in rows]
    lengths = [p[0][1] for p in parts]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return offsets, *(np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))


@pytest.fixture(scope="module", params=["astromer 1", "astromer 2", "small"])
def embedder(request):
    return Embedder(encoder(request.param))


@pytest.fixture(scope="module")
def found():
    lengths = [5, 7, 8, 9, 12, 15, 24, 30, 33, 63, 64, 65, 199, 200, 201, 330, 6, 6, 6, 40, 41, 1]
    return curves(np.random.default_rng(1), lengths)


def test_alone_or_in_any_batch(embedder, found):
    together = embedder.embed(*found)
    alone = np.concatenate([embedder.embed(*one(found, row)) for row in range(len(together))])
    assert np.abs(together - alone).max() <= 1e-5
    order = np.random.default_rng(2).permutation(len(together))
    assert np.abs(embedder.embed(*take(found, order)) - together[order]).max() <= 1e-5


def test_any_bucket(embedder, found, monkeypatch):
    bucketed = embedder.embed(*found)
    monkeypatch.setattr("models.engine.BUCKETS", ())
    assert np.abs(embedder.embed(*found) - bucketed).max() <= 1e-5


def test_padded_to_the_full_window_is_the_published_form(found):
    """Astromer 1 in buckets equals the module run as published, at 200 steps."""
    version_1 = encoder("astromer 1")
    bucketed = Embedder(version_1).embed(*take(found, [0]))
    x, times = model_inputs(*take(found, [0]), "mag")
    full = [np.zeros((1, 200, 1), np.float32), np.zeros((1, 200), np.float32)]
    full[0][0, :5], full[1][0, :5] = x, times
    mask = (np.arange(200) >= 5)[None].astype(np.float32)
    with torch.inference_mode():
        wanted = version_1.summary(*(torch.from_numpy(a) for a in (*full, mask))).numpy()
    assert np.abs(bucketed - wanted).max() <= 5e-4


def test_newest_window_counts(embedder):
    long = curves(np.random.default_rng(3), [10_000])
    newest = (np.array([0, 200]), *(c[-200:] for c in long[1:]))
    np.testing.assert_allclose(embedder.embed(*long), embedder.embed(*newest), atol=1e-5)


@pytest.mark.parametrize("bad", ["nan time", "nan mag", "inf mag"])
def test_a_bad_value_spoils_its_own_row_only(embedder, found, bad):
    clean = embedder.embed(*found)
    offsets, *columns = found
    columns = [c.copy() for c in columns]
    columns[0 if "time" in bad else 1][offsets[4] + 2] = np.inf if "inf" in bad else np.nan
    spoiled = embedder.embed(offsets, *columns)
    assert not np.isfinite(spoiled[4]).any()
    rest = np.arange(len(clean)) != 4
    np.testing.assert_allclose(spoiled[rest], clean[rest], atol=1e-5)


def test_empty_batch_and_empty_curve(embedder):
    none = np.empty(0)
    assert embedder.embed(np.array([0]), none, none, none).shape == (0, embedder.dim)
    offsets, jd, mag, err = curves(np.random.default_rng(4), [6, 9])
    offsets = np.array([0, 6, 6, 15])
    result = embedder.embed(offsets, jd, mag, err)
    assert (result[1] == 0).all()
    assert np.isfinite(result).all()


@pytest.mark.parametrize("shape", ["constant", "duplicate times", "one instant"])
def test_odd_curves_are_finite(embedder, shape):
    n = 20
    jd = 2_459_000 + np.arange(n) / 2
    mag = 18 + 0.1 * np.sin(np.arange(n))
    if shape == "constant":
        mag = np.full(n, 18.0)
    elif shape == "duplicate times":
        jd = np.repeat(jd[::2], 2)
    else:
        jd = np.full(n, jd[0])
    result = embedder.embed(np.array([0, n]), jd, mag, np.full(n, 0.1))
    assert np.isfinite(result).all()


def test_points_out_of_order_are_sorted(embedder, found):
    offsets, *columns = found
    order = np.concatenate(
        [np.random.default_rng(5).permutation(np.arange(a, b))
         for a, b in itertools.pairwise(offsets)]
    )  # fmt: skip
    shuffled = embedder.embed(offsets, *(c[order] for c in columns))
    np.testing.assert_allclose(shuffled, embedder.embed(*found), atol=1e-5)


def test_bfloat16_keeps_the_order(found):
    """Distances between embeddings rank as in float32."""
    rng = np.random.default_rng(6)
    many = curves(rng, np.clip(rng.lognormal(3.4, 0.8, 120), 5, 200).astype(int))
    exact = Embedder(encoder("small")).embed(*many)
    rounded = Embedder(encoder("small"), precision="bf16").embed(*many)
    distance = [np.linalg.norm(e - exact.mean(0), axis=1) for e in (exact, rounded)]
    ranks = [d.argsort().argsort() for d in distance]
    assert np.corrcoef(*ranks)[0, 1] >= 0.999


def test_buckets_hold_every_row_within_the_budget():
    lengths = np.random.default_rng(7).integers(0, 201, 3000)
    seen = []
    for rows, length in buckets(lengths, ASTROMER_1, 2048):
        assert length in BUCKETS
        assert len(rows) * length <= max(2048, length)
        assert ((lengths[rows] < length) | (lengths[rows] == 200)).all()
        seen.append(rows)
    rows = np.concatenate(seen)
    assert sorted(rows.tolist()) == np.flatnonzero(lengths > 0).tolist()


def test_warm_up_leaves_the_module_alone():
    original = encoder("small")
    before = {n: t.clone() for n, t in original.state_dict().items()}
    Embedder(original, precision="bf16").warm_up()
    assert all(torch.equal(t, before[n]) for n, t in original.state_dict().items())


def test_few_batches_are_in_flight(monkeypatch):
    """What a GPU does, with events that note when they are waited for."""
    embedder = Embedder(encoder("small"))
    found = curves(np.random.default_rng(8), [*range(5, 130)])
    wanted = embedder.embed(*found)
    running, most = [], []

    class Event:
        def synchronize(self):
            running.remove(self)

    def start(batch):
        event = Event()
        running.append(event)
        most.append(len(running))
        return *embedder._forward(batch), event

    monkeypatch.setattr(embedder, "_cuda", True)
    monkeypatch.setattr(embedder, "_to_device", torch.from_numpy)
    monkeypatch.setattr(embedder, "_start", start)
    monkeypatch.setattr(embedder, "_budget", 256)
    np.testing.assert_allclose(embedder.embed(*found), wanted, atol=1e-5)
    assert running == []
    assert max(most) == IN_FLIGHT + 1
