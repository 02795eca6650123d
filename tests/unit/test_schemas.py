"""Every released schema: documented, readable by later ones, printed by `schema`."""

import copy
import io
import json
import re
from pathlib import Path

import fastavro
import pytest
from click.testing import CliRunner
from fastavro.utils import generate_one

from worker.__main__ import cli
from worker.encode import NAMESPACE
from worker.encode.avro import NAMES, SYNC, ContainerWriter, read_container
from worker.encode.fink import fink_view

FOLDER = Path("worker/schemas")
FILES = sorted(FOLDER.glob("*.avsc"))


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def named(path):
    name, _, version = path.stem.rpartition("-")
    return name, tuple(int(part) for part in version.split("."))


def records(schema, path=""):
    """Every record type of a schema with where it stands."""
    if isinstance(schema, list):
        for branch in schema:
            yield from records(branch, path)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            yield path, schema
            for field in schema["fields"]:
                yield from records(field["type"], f"{path}.{field['name']}")
        for inner in ("items", "values"):
            yield from records(schema.get(inner), path)


def container(schema, record):
    stream = io.BytesIO()
    fastavro.writer(stream, schema, [record])
    return stream.getvalue()


def with_new_field(schema):
    """What a minor release may do: one more nullable field at the end."""
    newer = copy.deepcopy(schema)
    newer["fields"].append({"name": "added", "type": ["null", "string"], "default": None})
    return newer


def test_every_schema_has_its_file():
    assert {named(path)[0] for path in FILES} == set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    def test_says_what_every_field_is(self, path):
        for where, record in records(load(path)):
            assert record.get("doc"), f"{where}: record {record['name']}"
            for field in record["fields"]:
                assert field.get("doc"), f"{where}.{field['name']}"

    def test_names_the_unit_of_what_is_measured(self, path):
        for where, record in records(load(path)):
            for field in record["fields"]:
                if field["name"] in {"jd", "ra", "dec", "magpsf", "sigmapsf", "diffmaglim"} or (
                    field["name"].endswith(("_ms", "_days"))
                ):
                    assert re.search(r"\[\w+\]$", field["doc"]), f"{where}.{field['name']}"

    def test_enums_have_a_default(self, path):
        text = json.dumps(load(path))
        assert text.count('"type": "enum"') == len(
            re.findall(r'"symbols": [^]]*], "default"', text)
        )

    def test_every_later_reader_reads_it(self, path):
        name, version = named(path)
        record = generate_one(fastavro.parse_schema(load(path)))
        written = container(load(path), record)
        readers = [load(p) for p in FILES if named(p)[0] == name and named(p)[1] >= version]
        for reader in (*readers, with_new_field(readers[-1])):
            (read,) = fastavro.reader(io.BytesIO(written), fastavro.parse_schema(reader))
            assert read.items() >= next(fastavro.reader(io.BytesIO(written))).items()


@pytest.mark.parametrize("name", NAMES)
class TestContainer:
    def record(self, name):
        return generate_one(ContainerWriter(name).schema)

    def test_is_read_back(self, name):
        writer, record = ContainerWriter(name), self.record(name)
        value = writer.write(record)
        assert read_container(value) == next(fastavro.reader(io.BytesIO(value)))

    def test_is_what_a_container_writer_writes(self, name):
        writer, record = ContainerWriter(name), self.record(name)
        stream = io.BytesIO()
        fastavro.writer(stream, writer.schema, [record], sync_marker=SYNC)
        assert writer.write(record) == stream.getvalue()

    def test_of_a_later_release_is_read_without_the_new_field(self, name):
        schema, record = ContainerWriter(name).schema, self.record(name)
        newer = fastavro.parse_schema(with_new_field(schema), _force=True)
        read = read_container(container(newer, {**record, "added": "x"}))
        assert "added" not in read
        assert read.keys() == {field["name"] for field in schema["fields"]}

    def test_the_fink_view_reads_it_without_knowing_containers(self, name):
        value = ContainerWriter(name).write(self.record(name))
        read = fastavro.schemaless_reader(
            io.BytesIO(value), fastavro.parse_schema(fink_view(name)), None
        )
        assert read["_magic"] == b"Obj\x01"
        assert read["_sync"] == SYNC
        assert read["_count"] == 1
        assert {k: v for k, v in read.items() if not k.startswith("_")} == read_container(value)

    def test_damage_is_a_value_error(self, name):
        value = ContainerWriter(name).write(self.record(name))
        two = io.BytesIO()
        fastavro.writer(two, {"type": "record", "name": "other", "fields": []}, [{}, {}])
        for broken in (b"", b"Obj\x01", value[:-1], value[:-20], value[: len(value) // 2],
                       value + b"x", two.getvalue()):  # fmt: skip
            with pytest.raises(ValueError, match="no record of this worker"):
                read_container(broken)


@pytest.mark.parametrize("name", NAMES)
def test_schema_prints_it(name):
    printed = CliRunner().invoke(cli, ["schema", name])
    assert json.loads(printed.stdout) == load(FOLDER / f"{name}-1.0.0.avsc")
    fink = json.loads(CliRunner().invoke(cli, ["schema", name, "--fink"]).stdout)
    assert fink == fink_view(name)


def test_ids_are_explained_in_the_schema():
    assert str(NAMESPACE) in load(FOLDER / "anomaly-1.0.0.avsc")["doc"]
