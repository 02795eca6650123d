"""`check`: what is missing before a worker can run, each line with what to do."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from worker.commands.doctor import PROBES
from worker.commands.findings import Finding, guarded
from worker.commands.options import json_option, settings_options
from worker.config import load_settings
from worker.errors import ExitCode
from worker.settings import Settings


@click.command()
@settings_options
@click.option("--print-config", is_flag=True, help="Print every value and its origin.")
@click.option("--only", multiple=True, type=click.Choice(list(PROBES)),
              help="Ask only this; repeatable.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A warning fails too.")
@json_option
def check(
    config: Path | None,
    assignments: tuple[str, ...],
    only: tuple[str, ...],
    *,
    print_config: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Look at everything that a worker needs; change nothing but the state's layout mark.

    Exit code: 0, or that with which `run` would end; with --strict 1 for warnings alone.
    """
    loaded = load_settings(config, assignments)
    if print_config:
        for line in loaded.lines():
            click.echo(line)
        return ExitCode.OK
    findings = []
    for finding in _findings(loaded.settings, only or tuple(PROBES)):
        findings.append(finding)
        if not as_json:
            advice = f"; {finding.advice}" if finding.advice else ""
            click.echo(f"{finding.status:8} {finding.what:12} {finding.detail}{advice}")
    code = max(finding.exit_code for finding in findings)
    if strict and code == ExitCode.OK and any(f.status == "warning" for f in findings):
        code = ExitCode.UNEXPECTED
    if as_json:
        rows = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"exit_code": code, "findings": rows}))
    return code


def _findings(settings: Settings, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        yield from guarded(name, PROBES[name], settings)
