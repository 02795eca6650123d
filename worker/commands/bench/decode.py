"""`anomaly-worker bench decode FILE...`: packets per second of this decoder and of fastavro."""

import io
import json
import multiprocessing
import multiprocessing.dummy
from collections.abc import Callable, Mapping, Sequence
from math import ceil, nan
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import click
import fastavro

from worker.commands.options import json_option
from worker.decode import Decoder
from worker.decode.files import BATCH_RECORDS, MAX_FILE_BYTES, read_files, record_batches
from worker.decode.framing import read_blocks, read_header
from worker.errors import ConfigError
from worker.types.records import RecordBatch

ROUNDS = 5
SECONDS = 0.5
"""What our side is measured over in a round, by repeating; fastavro reads every packet once."""

CLOCK, CPU = 0, 1

Task = Callable[[], object]
Round = Mapping[str, tuple[float, float]]


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option
def decode(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Decode the packets of .avro files and nightly archives, with this decoder and fastavro.

    Medians of five rounds, each of which measures all of them. Rates are by the clock; ratios
    to fastavro and microseconds are of CPU time, which other programs disturb less. Two processes
    share nothing but the machine: what they gain is the ceiling of what two threads can. Packets
    that this decoder refuses are left out.
    """
    decoder = Decoder(max_message_bytes=MAX_FILE_BYTES, single_record=False)
    values = [v for records in read_files(files) for v in _accepted(decoder, records)]
    if not values:
        raise ConfigError("no packet that the decoder accepts")
    # Batches of one size, since each has a cost of its own.
    size = ceil(len(values) / ceil(len(values) / BATCH_RECORDS))
    batches = [next(record_batches("bench", values[start : start + size]))
               for start in range(0, len(values), size)]  # fmt: skip
    alerts = sum(len(decoder.decode(batch)[0]) for batch in batches)
    schemas: dict[bytes, Any] = {}

    def ours() -> None:
        for batch in batches:
            decoder.decode(batch)

    measures: dict[str, Callable[[], tuple[float, float]]] = {
        "ours_per_s": lambda: _alone(ours),
        "ours_2threads_per_s": lambda: _in_two(multiprocessing.dummy, ours),
        "ours_2processes_per_s": lambda: _in_two(multiprocessing.get_context("fork"), ours),
        "fastavro_per_s": lambda: _alone(
            lambda: [list(fastavro.reader(io.BytesIO(value))) for value in values]
        ),
        "fastavro_cached_per_s": lambda: _alone(
            lambda: [_read_cached(value, schemas) for value in values]
        ),
    }
    _read_cached(values[0], schemas)
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(ROUNDS)]
    result = _result(alerts, sum(map(len, values)), rounds)
    click.echo(json.dumps(result) if as_json else _table(result))


def _accepted(decoder: Decoder, records: RecordBatch) -> list[bytes]:
    refused = {letter.record for letter in decoder.decode(records)[1]}
    return [value for row, value in enumerate(records.values) if row not in refused]


def _read_cached(value: bytes, schemas: dict[bytes, Any]) -> list[Any]:
    """What fastavro can do for a stream: every schema is parsed once."""
    header = read_header(value)
    if header.schema not in schemas:
        schemas[header.schema] = fastavro.parse_schema(
            json.loads(header.schema), _ignore_default_error=True
        )
    found = []
    for block in read_blocks(value, header):
        stream = io.BytesIO(block.data)
        stream.seek(block.start)
        schema = schemas[header.schema]
        found += [fastavro.schemaless_reader(stream, schema, None) for _ in range(block.count)]
    return found


def _alone(task: Task) -> tuple[float, float]:
    """Seconds of one run, of the clock and of CPU time; short ones are repeated."""
    runs, clock, cpu = 0, perf_counter(), process_time()
    while True:
        task()
        runs += 1
        if perf_counter() - clock > SECONDS:
            return (perf_counter() - clock) / runs, (process_time() - cpu) / runs


def _in_two(kind: Any, task: Task) -> tuple[float, float]:
    """Seconds of the clock per run, where two threads or processes repeat a task side by side.

    `kind`: what `multiprocessing` offers, for one or the other. There is no CPU time.
    """
    together, found = kind.Barrier(2), kind.Queue()

    def work() -> None:
        together.wait()
        found.put(_alone(task)[CLOCK])

    workers = [kind.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    seconds = [found.get() for _ in workers]
    for worker in workers:
        worker.join()
    return 1 / sum(1 / each for each in seconds), nan


def _result(alerts: int, size: int, rounds: Sequence[Round]) -> dict[str, float]:
    rates = {n: alerts / median(each[n][CLOCK] for each in rounds) for n in rounds[0]}
    cpu = {n: median(each[n][CPU] for each in rounds) / alerts for n in rounds[0]}
    return {
        "alerts": alerts,
        "bytes": size,
        **{name: round(rate, 1) for name, rate in rates.items()},
        "ours_mb_per_s": round(rates["ours_per_s"] * size / alerts / 1e6, 1),
        "ours_us": round(1e6 * cpu["ours_per_s"], 2),
        "fastavro_us": round(1e6 * cpu["fastavro_per_s"], 2),
        "fastavro_cached_us": round(1e6 * cpu["fastavro_cached_per_s"], 2),
        "ratio": _ratio(rounds, "fastavro_per_s", "ours_per_s", CPU),
        "ratio_cached": _ratio(rounds, "fastavro_cached_per_s", "ours_per_s", CPU),
        "ratio_2threads": _ratio(rounds, "ours_per_s", "ours_2threads_per_s", CLOCK),
        "ratio_2processes": _ratio(rounds, "ours_per_s", "ours_2processes_per_s", CLOCK),
    }


def _ratio(rounds: Sequence[Round], above: str, below: str, kind: int) -> float:
    """Median of the ratios of seconds within each round."""
    return round(median(each[above][kind] / each[below][kind] for each in rounds), 2)


def _table(result: dict[str, float]) -> str:
    """Lines for people."""
    return "\n".join(f"{name:24} {value:>14,}" for name, value in result.items())
