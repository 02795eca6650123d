"""`simulate`: write a simulated night of packets to a folder, an archive or a Kafka topic."""

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from worker.commands.options import settings_options

ARCHIVE = (".tar.gz", ".tgz")


@click.command()
@click.argument("out", required=False, type=click.Path(path_type=Path))
@settings_options
@click.option("--seed", default=1, show_default=True, help="Same seed, same bytes.")
@click.option("--objects", default=300, show_default=True, type=click.IntRange(1, 100_000),
              help="Ordinary objects of the night.")  # fmt: skip
@click.option("--topic", help="Produce to this topic, earlier nights first, instead of OUT.")
def simulate(
    out: Path | None,
    config: Path | None,
    assignments: tuple[str, ...],
    seed: int,
    objects: int,
    topic: str | None,
) -> None:
    """Simulate a night of ZTF-like alerts with planted oddities, and the months before it.

    OUT is a folder, which gets history/, night/ and planted.json, or a name that ends in
    .tar.gz: the night's archive; NAME.history.tar.gz and NAME.planted.json come beside it.
    """
    from models.night import plan_night
    from worker.simulate import simulate_packets

    if (out is None) == (topic is None):
        raise click.UsageError("give either OUT or --topic")
    plan = plan_night(seed, objects)
    sent = simulate_packets(seed, plan.objects, plan.planted)
    planted = [
        {
            "objectId": sent.object_ids[row],
            "kind": plan.objects[row].kind,
            "why": plan.why(row),
        }
        for row in plan.planted
    ]
    if topic is not None:
        _produce(config, assignments, topic, [*sent.history, *sent.packets])
        click.echo(json.dumps(planted, indent=1))
    elif out is not None:
        write_night(out, sent.night, sent.history, sent.packets, planted)
    click.echo(
        f"night {sent.night}: {len(sent.packets)} packets, {len(sent.history)} of earlier nights, "
        f"{len(planted)} planted objects",
        err=True,
    )


def write_night(
    out: Path,
    night: str,
    history: Sequence[bytes],
    packets: Sequence[bytes],
    planted: Sequence[Any],
) -> None:
    """Write a night and its truth; same input, same bytes."""
    truth = json.dumps(planted, indent=1) + "\n"
    suffix = next((s for s in ARCHIVE if out.name.endswith(s)), None)
    if suffix is None:
        for name, values in (("history", history), ("night", packets)):
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            for number, value in enumerate(values):
                (folder / f"{night}-{number:05d}.avro").write_bytes(value)
        (out / "planted.json").write_text(truth, encoding="utf-8")
        return
    stem = out.name.removesuffix(suffix)
    out.parent.mkdir(parents=True, exist_ok=True)
    _archive(out, night, packets)
    _archive(out.with_name(f"{stem}.history{suffix}"), night, history)
    out.with_name(f"{stem}.planted.json").write_text(truth, encoding="utf-8")


def _archive(path: Path, night: str, values: Sequence[bytes]) -> None:
    # gzip keeps a time and a name of its own: both are left out, so that bytes repeat.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for number, value in enumerate(values):
            member = tarfile.TarInfo(f"{night}-{number:05d}.avro")
            member.size = len(value)
            archive.addfile(member, io.BytesIO(value))


def _produce(
    config: Path | None, assignments: tuple[str, ...], topic: str, values: Sequence[bytes]
) -> None:
    from worker.config import load_settings
    from worker.errors import ConfigError
    from worker.kafka import create_topics, produce_all
    from worker.topics import TopicSpec
    from worker.types.records import Message

    settings = load_settings(config, assignments).settings
    kafka, output = settings.kafka, settings.output
    if "bootstrap.servers" not in kafka.common:
        raise ConfigError("kafka.common.bootstrap.servers is not set")
    if output.create_topics:
        create_topics(kafka.common, [TopicSpec(topic, output.partitions, output.replication, {})])
    produce_all({**kafka.common, **kafka.producer}, [Message(topic, None, v) for v in values])
