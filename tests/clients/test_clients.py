"""Peers' clients read our topic over the wire, unchanged."""

import io
import json
import math
from itertools import islice

import fastavro
import pytest
from confluent_kafka import Consumer

from tests.clients.conftest import PASSWORD, USER, by_candid, client
from worker.encode.fink import fink_view
from worker.types.records import Message

PREFIX = {"_magic", "_meta", "_sync", "_count", "_size"}


def without_prefix(alert):
    return {name: value for name, value in alert.items() if name not in PREFIX}


def test_plain_fastavro(wire, unique):
    consumer = Consumer(
        {"bootstrap.servers": wire.bootstrap, "group.id": unique, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([wire.topic])
    found = []
    for message in consumer.consume(len(wire.messages), 30):
        found.append(next(fastavro.reader(io.BytesIO(message.value()))))
        headers = dict(message.headers())
        assert headers["_format"] == b"avro"
        assert headers["schema"] == b"anomaly/1.0.0"
        assert len(headers["_id"]) == 16
        percentile = found[-1]["anomaly"]["percentile"]
        assert float(headers["percentile"]) == pytest.approx(percentile, rel=1e-5)
        assert message.key() == found[-1]["objectId"].encode()
    consumer.close()
    assert by_candid(found) == wire.alerts


class TestFink:
    def consumer(self, wire, unique, topic, **options):
        config = {"group.id": unique, "bootstrap.servers": wire.bootstrap}
        fink = client("fink_client.consumer")
        return fink.AlertConsumer([topic], config, "ztf", **options)

    @pytest.fixture
    def view(self, tmp_path):
        path = tmp_path / "anomaly-1.0.0.fink.avsc"
        path.write_text(json.dumps(fink_view("anomaly")))
        return str(path)

    def test_with_the_view_from_a_file(self, wire, unique, view):
        with self.consumer(wire, unique, wire.topic, schema_path=view) as consumer:
            polled = [consumer.poll(30) for _ in wire.messages]
        assert {topic for topic, _, _ in polled} == {wire.topic}
        assert by_candid(without_prefix(alert) for _, alert, _ in polled) == wire.alerts

    def test_with_the_view_in_the_key(self, wire, unique):
        key = json.dumps(fink_view("anomaly")).encode()
        keyed = [Message("", key, m.value, m.headers) for m in wire.messages]
        topic = wire.add_topic(f"{unique}.keyed", keyed)
        with self.consumer(wire, unique, topic) as consumer:
            polled = [consumer.poll(30)[1] for _ in wire.messages]
        assert by_candid(map(without_prefix, polled)) == wire.alerts

    def test_saved_alerts_are_read_back(self, wire, unique, view, tmp_path):
        folder = tmp_path / "saved"
        folder.mkdir()
        with self.consumer(wire, unique, wire.topic, schema_path=view) as consumer:
            _, alert, _ = consumer.poll_and_write(str(folder), 30)
        (saved,) = client("fink_client.avro_utils").AlertReader(str(folder)).to_list()
        assert saved["anomaly"] == wire.alerts[alert["candid"]]["anomaly"]

    def test_without_the_view_it_fails_loudly(self, wire, unique):
        with (
            self.consumer(wire, unique, wire.topic) as consumer,
            pytest.raises(Exception, match=r"."),  # the client's own, of no known class
        ):
            consumer.poll(30)


class TestBabamul:
    def read(self, wire, unique, **options):
        consumer = client("babamul").AlertConsumer(
            wire.topic, USER, PASSWORD, server=wire.sasl_bootstrap, offset="earliest",
            group_id=f"{USER}-{unique}", timeout=30, **options,
        )  # fmt: skip
        with consumer:
            return list(islice(consumer, len(wire.messages)))

    def test_raw(self, wire, unique):
        assert by_candid(self.read(wire, unique, as_raw=True)) == wire.alerts


class TestHop:
    def read(self, wire, topic):
        earliest = client("hop.io").StartPosition.EARLIEST
        stream = client("hop").Stream(auth=False, start_at=earliest, until_eos=True)
        with stream.open(f"kafka://{wire.bootstrap}/{topic}", "r") as messages:
            return [message.content for message in messages]

    def test_alerts(self, wire):
        assert by_candid(self.read(wire, wire.topic)) == wire.alerts

    def test_messages_of_a_demo_are_passed_over(self, wire, unique):
        marked = [
            Message("", m.key, m.value, (*m.headers, ("_test", b"true"))) for m in wire.messages
        ]
        topic = wire.add_topic(f"{unique}.test", [*marked[:-1], wire.messages[-1]])
        assert len(self.read(wire, topic)) == 1


def test_skyportal_finds_what_it_expects(wire):
    """Its babamul provider reads these fields and turns fluxes into magnitudes like this."""
    for alert in wire.alerts.values():
        assert isinstance(alert["objectId"], str)
        assert {"ra", "dec", "drb"} <= alert["candidate"].keys()
        for point in alert["prv_candidates"]:
            assert {"jd", "band", "psfFlux", "psfFluxErr", "programid"} <= point.keys()
            assert point["band"] in {"g", "r", "i"}
            flux, error = abs(point["psfFlux"]) * 1e-9, point["psfFluxErr"] * 1e-9
            assert 23.9 - 2.5 * math.log10(flux) == pytest.approx(point["magpsf"], abs=1e-6)
            assert 1.0857362 * error / flux == pytest.approx(point["sigmapsf"], rel=1e-5)
            assert (point["psfFlux"] > 0) == (point["isdiffpos"] == "t")


def test_an_object_is_sent_again_only_when_it_became_stranger(wire):
    """And its message carries what was sent before."""
    sent = sorted(wire.alerts.values(), key=lambda alert: alert["candidate"]["jd"])
    before, again = {}, 0
    for alert in sent:
        earlier = before.setdefault(alert["objectId"], [])
        p, told = alert["anomaly"]["p"], alert["anomaly"]["emissions"]
        assert [(e["candid"], e["p"]) for e in told] == earlier
        if told:
            again += 1
            assert p <= 0.5 * min(emission["p"] for emission in told)
        earlier.append((alert["candid"], p))
    assert again, "the night of this test holds no object that is sent again: take another seed"
