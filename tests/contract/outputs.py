"""Output topics with scores in them, and the commands that read them."""

import json
import time

from click.testing import CliRunner

from tests.unit.test_ranking import score
from worker.__main__ import cli
from worker.commands.rank import Ranker
from worker.config import load_settings
from worker.encode import read_container
from worker.encode.avro import ContainerWriter
from worker.kafka import produce_all, read_all
from worker.night import JD_UNIX_EPOCH
from worker.topics import Topics, output_specs
from worker.types.records import Message

LONGITUDE = -116.863
NIGHT_JD = 2461234.75
TONIGHT_JD = JD_UNIX_EPOCH + time.time() / 86_400


def slim(name, p, *, candid, jd=NIGHT_JD, **fields):
    row = score(name, p, candid=candid, jd=jd, **fields)
    return {
        **row, "s1": 1.0, "s_input": 1.0, "p_input": None, "percentile": None, "curve_hash": 1,
        "magnitude_kind": "difference", "calibration_sha256": None, "model_sha256": "0",
        "input_topic": "t", "input_partition": 0, "input_offset": candid,
        "scored_at_ms": int(time.time() * 1000),
    }  # fmt: skip


class Output:
    """Output topics with scores in them, and the commands that read them."""

    def __init__(self, broker, out):
        bootstrap = broker.bootstrap
        self.topics = Topics(out)
        self.common = {**broker.config, "fetch.wait.max.ms": 20}
        for spec in output_specs(self.topics, 2, 1):
            broker.topic(spec.partitions, spec.name, **spec.config)
        self.assignments = [
            f"kafka.common.bootstrap.servers={bootstrap}",
            "kafka.common.fetch.wait.max.ms=20",  # a reader learns that it is at the end
            f"output.topic={out}",
        ]
        self.arguments = [part for a in self.assignments for part in ("--set", a)]

    def add(self, *scores):
        writer = ContainerWriter("score")
        produce_all(
            self.common,
            [Message(self.topics.scores, s["objectId"].encode(), writer.write(s)) for s in scores],
        )

    def command(self, name, *arguments):
        result = CliRunner().invoke(cli, [name, *self.arguments, *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    def rank(self, *assignments):
        """What `rank --until-eof` does."""
        settings = load_settings(None, [*self.assignments, *assignments]).settings
        ranker = Ranker(settings)
        ranker.catch_up()
        ranker.close()

    def rankings(self):
        """Every record of the ranking topic, in order."""
        return [read_container(r.value) for r in read_all(self.common, self.topics.ranking)]

    def top(self, *arguments):
        lines = self.command("top", "--json", *arguments).splitlines()
        return [json.loads(line)["objectId"] for line in lines]
