"""`model fetch`: published weights, verified and converted."""

from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for encoder.safetensors and config.json; default NAME.")  # fmt: skip
@click.option("--registry", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file of names, addresses and checksums instead of ours.")  # fmt: skip
def fetch(name: str | None, out: Path | None, registry: Path | None) -> None:
    """Download published weights; without NAME, list what there is.

    A broken download goes on where it stopped when started again. Exit 69 offline.
    """
    from models.fetch import UnreachableError, read_registry
    from models.fetch import fetch as fetch_weights
    from worker.commands.model.failures import as_config_errors
    from worker.errors import UnavailableError

    with as_config_errors():
        entries = read_registry(registry)
    if name is None:
        for known, entry in entries.items():
            click.echo(f"{known}: {entry['what']}\n  {entry['url']}\n  licence: {entry['licence']}")
        return
    if name not in entries:
        raise click.UsageError(f"{name} is none of {', '.join(entries)}")
    out = out or Path(name)
    click.echo(f"licence: {entries[name]['licence']}", err=True)
    try:
        with as_config_errors():
            record = fetch_weights(name, entries[name], out, _show)
    except UnreachableError as error:
        raise UnavailableError(str(error)) from error
    click.echo(f"\nAstromer {record['encoder']['version']} -> {out}", err=True)


def _show(done: int, total: int | None) -> None:
    click.echo(f"\r{done:,} of {total or '?'} bytes", err=True, nl=False)
