"""Seeding a real Redis from packets and from a table of detections."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from tests.e2e.harness import command
from worker.types.light_curves import POINT, PointFlag


@pytest.fixture
def arguments(redis_url, unique):
    return ["--set", f"redis.url={redis_url}", "--set", f"redis.prefix={unique}:"]


@pytest.fixture
def state(redis_url, unique):
    """Points of an object's band, as the state holds them."""

    def read(name, band):
        with redis.Redis.from_url(redis_url) as client:
            return np.frombuffer(client.get(f"{unique}:lc:{{{name}}}:{band}") or b"", dtype=POINT)

    return read


COLUMNS = {
    "objectId": ["ZTF18a", "ZTF18a", "ZTF18a", "ZTF19b"],
    "candid": [2**60 + 1, 2**60 + 2, 2**60 + 3, 7],
    "jd": [2459000.5, 2459001.5, 2459002.5, 2459003.5],
    "band": ["g", "g", "r", "i"],
    "magpsf": [18.1, 18.2, 18.3, 19.0],
    "sigmapsf": [0.1, 0.1, 0.1, 0.2],
    "isdiffpos": ["t", "f", "1", "0"],
    "programid": [1, 1, 1, 2],
    "magnr": [17.0, None, -999.0, 17.5],
}


def write(folder, **changes):
    path = folder / "detections.parquet"
    columns = {**COLUMNS, **changes}
    pq.write_table(pa.table({n: v for n, v in columns.items() if v is not None}), path)
    return str(path)


def test_a_table_becomes_points(tmp_path, arguments, state):
    code, _, error = command("seed", write(tmp_path), *arguments)
    assert code == 0, error
    assert "3 detections merged, 1 not listed" in error
    points = state("ZTF18a", 1)
    assert points["candid"].tolist() == [2**60 + 1, 2**60 + 2]
    assert points["known_since"].tolist() == points["jd"].tolist() == COLUMNS["jd"][:2]
    assert np.isnan(points["magnr"]).tolist() == [False, True]
    assert [flags & PointFlag.POSITIVE for flags in points["flags"].tolist()] == [1, 0]
    assert len(state("ZTF18a", 2)) == 1
    assert len(state("ZTF19b", 3)) == 0


def test_seeding_again_changes_nothing(tmp_path, arguments, state):
    path = write(tmp_path)
    command("seed", path, *arguments)
    before = state("ZTF18a", 1).tobytes()
    assert command("seed", path, *arguments)[0] == 0
    assert state("ZTF18a", 1).tobytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candid": None}, "has no column candid"),
        ({"candid": [1, None, 3, 4]}, "candid is null in 1 rows"),
        ({"band": ["g", "q", "r", "i"]}, "band holds q"),
        ({"magpsf": [18.1, float("nan"), 18.3, 19.0]}, "magpsf is not finite"),
    ],
)
def test_a_table_that_can_not_be_trusted_is_refused(tmp_path, arguments, state, changes, message):
    code, _, error = command("seed", write(tmp_path, **changes), *arguments)
    assert code == 78
    assert message in error
    assert len(state("ZTF18a", 1)) == 0


def test_a_simulated_archive_becomes_points(tmp_path, arguments, redis_url, unique):
    night = tmp_path / "night.tar.gz"
    assert command("simulate", str(night), "--objects", "20")[0] == 0
    code, _, error = command("seed", str(tmp_path / "night.history.tar.gz"), *arguments)
    assert code == 0, error
    with redis.Redis.from_url(redis_url) as client:
        assert sum(1 for _ in client.scan_iter(f"{unique}:lc:*")) > 20
