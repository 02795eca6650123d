"""`ledger`: read the books and say whether every record is accounted for."""

import json
from pathlib import Path

import click

from worker.commands.options import json_option, settings_options
from worker.config import load_settings
from worker.errors import ConfigError, ExitCode
from worker.ledger import Report, check


@click.command()
@settings_options
@click.option("--group", help="Only this consumer group's books; default: those of every group.")
@json_option
def ledger(
    config: Path | None, assignments: tuple[str, ...], group: str | None, *, as_json: bool
) -> int:
    """Check that no record was lost, doubled or miscounted; fails when the books don't balance."""
    from worker.encode import read_container
    from worker.kafka import read_all
    from worker.topics import Topics

    settings = load_settings(config, assignments).settings
    common = settings.kafka.common
    if "bootstrap.servers" not in common:
        raise ConfigError("kafka.common.bootstrap.servers is not set")
    topic = Topics(settings.output.topic).ledger
    report = check((read_container(r.value or b"") for r in read_all(common, topic)), group)
    click.echo(json.dumps(_as_dict(report)) if as_json else _as_text(report))
    return ExitCode.OK if report.balanced else ExitCode.UNEXPECTED


def _as_dict(report: Report) -> dict[str, object]:
    return {
        "balanced": report.balanced,
        "transactions": report.transactions,
        "records": report.records,
        "outcomes": dict(sorted(report.outcomes.items())),
        "nights": {night: dict(found) for night, found in sorted(report.by_night.items())},
        "offsets_without_record": report.offsets_without_record,
        "faults": report.faults,
    }


def _as_text(report: Report) -> str:
    """The sums, then what is wrong."""
    nights = sorted(report.by_night)
    lines = [f"{'outcome':28}" + "".join(f"{night:>10}" for night in nights) + f"{'all':>10}"]
    for outcome in sorted(report.outcomes):
        row = "".join(f"{report.by_night[night][outcome]:>10}" for night in nights)
        lines.append(f"{outcome:28}{row}{report.outcomes[outcome]:>10}")
    lines += [
        f"{where}: {count} offsets hold no record (control records, compaction)"
        for where, count in sorted(report.offsets_without_record.items())
    ]
    lines += [f"FAULT {fault}" for fault in report.faults]
    verdict = "balance" if report.balanced else f"DO NOT BALANCE: {len(report.faults)} faults"
    return "\n".join(
        [*lines, f"{report.records} records in {report.transactions} transactions: books {verdict}"]
    )
