"""The report of a long run, in Markdown."""

from collections import Counter

from tests.chaos.faults import KINDS, Faults

HEAD = """# Chaos report

Written by `python -m tests.chaos --seeds {seeds} --report deploy/chaos-report.md`: a real Kafka
(one broker), a real Redis (append-only file, fsync always) behind a proxy, two supervised workers
with the packaged model, a simulated stream. After the last fault the stream ends, the workers
drain, and an oracle works out the truth from the input topic and compares it with what
read_committed readers find, with the state in Redis and with the ledger.

"""


SEEDS = [
    "| seed | records | scored | lost | duplicated | wrong | twins | restores | exits | minutes |",
    "|---|---|---|---|---|---|---|---|---|---|",
]

WRONG = """`wrong`: outputs without input, other bytes or reasons of dead letters, ledger faults,
state or curve hashes that differ from the oracle's."""


def write_report(outcomes):
    """Counts per fault, and what came of each seed."""
    injected = sum((outcome.injected for outcome in outcomes), Counter())
    lines = ["| fault | what is done | times |", "|---|---|---|"]
    for kind in ("kill_between_steps", *KINDS):
        said = getattr(Faults, kind).__doc__.splitlines()[0]
        lines.append(f"| {kind.replace('_', ' ')} | {said} | {injected[kind]} |")
    lines += [f"| all | | {injected.total()} |", ""]
    lines += SEEDS
    for outcome in outcomes:
        v = outcome.verdict
        exits = ", ".join(f"{code}: {n}" for code, n in sorted(outcome.exits.items()))
        lines.append(
            f"| {outcome.seed} | {v.records} | {v.scored} | {len(v.lost)} | {len(v.duplicated)} | "
            f"{len(v.wrong)} | {v.twins} | {outcome.restores} | {exits} | "
            f"{outcome.seconds / 60:.1f} |"
        )
    lines += ["", WRONG, ""]
    problems = [text for o in outcomes for text in (*o.failed, *o.surprises)]
    problems += [line for o in outcomes for line in str(o.verdict).splitlines()[1:]]
    lines += [f"- {text}" for text in problems] or ["No fault was left unrecovered."]
    return HEAD.format(seeds=len(outcomes)) + "\n".join(lines) + "\n"
