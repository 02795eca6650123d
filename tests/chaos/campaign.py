"""One seeded campaign: a world, a schedule of faults, the end of the stream, a verdict."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.evidence import gathered
from tests.chaos.faults import Faults, times_ready
from tests.chaos.verdict import Verdict, judged
from tests.chaos.world import INPUT, OUT, SLOTS, World, wait

RESTART = 75


@dataclass
class Outcome:
    """What one campaign did and what came of it."""

    seed: int
    injected: Counter = field(default_factory=Counter)
    failed: list = field(default_factory=list)
    surprises: list = field(default_factory=list)
    exits: Counter = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    restores: int = 0
    seconds: float = 0.0

    @property
    def clean(self):
        return self.verdict.clean and not self.failed and not self.surprises

    def as_json(self):
        return json.dumps({**vars(self), "verdict": vars(self.verdict)})

    @classmethod
    def from_json(cls, text):
        found = json.loads(text)
        found["verdict"] = Verdict(**found["verdict"])
        found["injected"] = Counter(found["injected"])
        found["exits"] = Counter({int(code): n for code, n in found["exits"].items()})
        return cls(**found)

    def __str__(self):
        lines = [f"seed {self.seed}: {sum(self.injected.values())} faults in {self.seconds:.0f} s"]
        lines += [f"exits {dict(self.exits)}, {self.restores} restores", str(self.verdict)]
        return "\n".join([*lines, *self.failed, *self.surprises])


def run_campaign(folder, kafka_home, redis_binary, seed, order, *, objects, per_second, say=print):
    """Inject `order`, end the stream, let the workers finish, judge."""
    outcome, started = Outcome(seed), time.monotonic()
    world = World(
        folder, kafka_home, redis_binary, seed=seed, objects=objects, per_second=per_second
    )
    try:
        world.supervisor.start_slots()
        world.supervisor.start()
        world.traffic.start()
        inject(world, order, outcome, say)
        world.traffic.stop()
        finish(world)
        outcome.verdict = judged(evidence_of(world))
    finally:
        world.close()
    outcome.surprises, outcome.exits = world.surprises, world.exits
    outcome.restores, outcome.seconds = world.restores, time.monotonic() - started
    return outcome


def inject(world, order, outcome, say):
    faults = Faults(world, world.seed)
    wait(lambda: (world.committed() or 0) > 20, 300, "the first records")
    for number, (kind, arguments) in enumerate(order):
        began = time.monotonic()
        name = f"{kind}({', '.join(arguments)})"
        try:
            getattr(faults, kind)(*arguments)
        except Exception as error:  # noqa: BLE001 - one fault's failure must not hide the others'
            outcome.failed.append(f"{name}: {error!r}")
        outcome.injected[kind] += 1
        took = time.monotonic() - began
        left = len(world.traffic) - world.traffic.sent
        say(f"seed {world.seed} {number + 1}/{len(order)} {name}: {took:.1f} s, {left} to come")


def finish(world):
    """Everything that was sent is committed, and the workers drain.

    A worker that met the last fault (fenced, Redis gone back, a commit without an answer) may
    end with 75 although it was told to drain: others did its work, and the exit code asks for a
    restart that nobody else would give it. What was restarted has met no fault: it ends with 0.
    """
    world.supervisor.start_slots()
    wait(lambda: (world.committed() or 0) >= world.traffic.sent, 300, "the end of the stream")
    codes = set(world.supervisor.rest())
    if RESTART in codes:
        codes = codes - {RESTART} | set(restarted(world).rest())
    world.surprises += [f"the last drain ended with {code}" for code in sorted(codes - {0})]


def restarted(world):
    """The supervisor, all its slots started anew and ready."""
    logs = [world.folder / f"worker-{slot}.log" for slot in SLOTS]
    before = [times_ready(log) for log in logs]
    world.supervisor.start_slots()
    wait(
        lambda: all(times_ready(log) > n for log, n in zip(logs, before, strict=True)),
        60,
        "the restarted workers to be ready",
    )
    return world.supervisor


def evidence_of(world):
    return gathered(
        world.kafka.bootstrap,
        [world.redis.url],
        topic=INPUT,
        out=OUT,
        prefix="chaos:",
        unordered=world.traffic.unordered,
        restores=world.restores,
    )
