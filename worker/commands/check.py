"""`check`: what is missing before a worker can run, each line with what to do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from worker.commands.options import json_option, settings_options
from worker.config import load_settings
from worker.errors import AnomalyWorkerError, ExitCode
from worker.settings import Settings

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    what: str
    status: Status
    detail: str
    exit_code: int = ExitCode.OK


@click.command()
@settings_options
@click.option("--print-config", is_flag=True, help="Print every value and its origin.")
@json_option
def check(
    config: Path | None, assignments: tuple[str, ...], *, print_config: bool, as_json: bool
) -> int:  # fmt: skip
    """Check connections, topics, model, calibration and state."""
    loaded = load_settings(config, assignments)
    if print_config:
        for line in loaded.lines():
            click.echo(line)
        return ExitCode.OK
    code = ExitCode.OK
    findings = []
    for finding in _findings(loaded.settings):
        findings.append(asdict(finding))
        code = max(code, ExitCode(finding.exit_code))
        if not as_json:
            click.echo(f"{finding.status:8} {finding.what:12} {finding.detail}")
    if as_json:
        click.echo(json.dumps({"exit_code": code, "findings": findings}))
    return code


def _findings(settings: Settings) -> Iterator[Finding]:
    for what, probe in (
        ("kafka", _kafka),
        ("redis", _redis),
        ("model", _model),
    ):
        yield from _guarded(what, probe, settings)


def _guarded(
    what: str, probe: Callable[[Settings], Iterator[Finding]], settings: Settings
) -> Iterator[Finding]:
    try:
        yield from probe(settings)
    except AnomalyWorkerError as error:
        yield Finding(what, "failed", str(error), error.exit_code)


def _kafka(settings: Settings) -> Iterator[Finding]:
    from worker.kafka import missing_topics
    from worker.topics import Topics, output_specs

    output = settings.output
    names = [s.name for s in output_specs(Topics(output.topic), output.partitions, 1)]
    missing = missing_topics(settings.kafka.common, names)
    yield Finding("kafka", "ok", "a broker answers")
    if missing:
        advice = "create them or set output.create_topics = true"
        status: Status = "warning" if output.create_topics else "failed"
        code = ExitCode.OK if output.create_topics else ExitCode.CONFIG
        yield Finding("topics", status, f"missing: {', '.join(missing)}; {advice}", code)
    else:
        yield Finding("topics", "ok", f"{len(names)} output topics exist")
    inputs = missing_topics(settings.kafka.common, settings.source.topics)
    if inputs:
        yield Finding("topics", "warning", f"no input topic yet: {', '.join(inputs)}")


def _redis(settings: Settings) -> Iterator[Finding]:
    from worker.commands.wiring import connect_store

    store = connect_store(settings)
    facts = store.server_facts()
    store.close()
    yield Finding("redis", "ok", f"version {facts['version']}, layout and programids fit")
    if facts["policy"] != "noeviction":
        advice = "set maxmemory-policy noeviction: evicted curves are lost silently"
        yield Finding("redis", "warning", f"eviction policy {facts['policy']}; {advice}")
    if facts["persistence"] == "none":
        yield Finding("redis", "warning", "no persistence: a restart means a rebuild from input")


def _model(settings: Settings) -> Iterator[Finding]:
    from worker.commands.wiring import load_scorer

    scorer = load_scorer(settings)
    yield Finding("model", "ok", f"{scorer.name} {scorer.version}, sha256 {scorer.sha256[:12]}")
    survey = settings.source.survey
    if scorer.is_calibrated(survey):
        yield Finding("calibration", "ok", f"survey {survey} is calibrated")
    else:
        advice = "alerts carry a provisional p; run `model calibrate --from-topic` after a night"
        yield Finding("calibration", "warning", f"no calibration for survey {survey}: {advice}")
