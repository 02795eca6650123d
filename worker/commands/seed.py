"""`seed`: fill the light-curve state, so that a new deployment does not start blind."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from worker.commands.options import settings_options
from worker.config import load_settings
from worker.types.records import RecordBatch


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@settings_options
def seed(files: tuple[Path, ...], config: Path | None, assignments: tuple[str, ...]) -> None:
    """Merge FILES into the state; nothing is scored or produced.

    FILES: Avro packets, nightly archives (.tar.gz), or Parquet with one row per detection.
    Take a snapshot of Redis afterwards: seeds can't be rebuilt from the input topics.
    """
    from worker.commands.wiring import connect_store, make_decoder
    from worker.decode.files import read_files

    settings = load_settings(config, assignments).settings
    tables = [path for path in files if path.suffix == ".parquet"]
    packets = [path for path in files if path.suffix != ".parquet"]
    store, decoder = connect_store(settings), make_decoder(settings, single_record=False)
    listed = settings.output.programids
    counts = [seed_packets(store, decoder, read_files(packets), listed)] if packets else []
    counts += [_seed_table(store, path, listed) for path in tables]
    store.close()
    for line in counts:
        click.echo(line, err=True)


def seed_packets(
    store: Any, decoder: Any, batches: Iterable[RecordBatch], programids: Iterable[int]
) -> str:
    """Merge every listed packet of these records; one line of counts."""
    import numpy as np

    merged = other = refused = 0
    for records in batches:
        packets, dead = decoder.decode(records)
        public = np.isin(packets.programid, list(programids))
        store.merge(packets, public, {})
        merged, other = merged + int(public.sum()), other + int((~public).sum())
        refused += len(dead)
        for letter in dead:
            where = f"{records.partitions[0].topic}[{records.offsets[letter.record]}]"
            click.echo(f"{where} refused ({letter.reason}): {letter.error}", err=True)
    return f"{merged} packets merged, {other} not listed in output.programids, {refused} refused"


def _seed_table(store: Any, path: Path, programids: Iterable[int]) -> str:
    import numpy as np

    from worker.decode.parquet import read_detections

    merged = other = 0
    for found in read_detections(path):
        listed = np.flatnonzero(np.isin(found.points["programid"], list(programids)))
        names = [found.object_id[row] for row in listed.tolist()]
        store.seed(names, found.points[listed], found.band[listed])
        merged, other = merged + len(listed), other + len(found.points) - len(listed)
    return f"{path.name}: {merged} detections merged, {other} not listed in output.programids"
