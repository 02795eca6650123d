"""librdkafka's own mock cluster, inside the wheel: a Kafka for the demo and for quick tests.

It keeps about 5 MB per partition, has no transactions and forgets everything at the end.
"""

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from worker.errors import UnavailableError

_ERROR_BYTES = 512


class MockCluster:
    """A mock cluster with the given topics (name: partitions); use as a context manager."""

    def __init__(self, topics: Mapping[str, int] | None = None, brokers: int = 1) -> None:
        self._topics, self._brokers = dict(topics or {}), brokers
        self._library = _library()
        self._handle: int | None = None
        self._cluster: int | None = None
        self.bootstrap = ""

    def __enter__(self) -> Self:
        library = self._library
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = library.rd_kafka_conf_new()
        # The handle only owns the cluster: that it has no broker itself is nobody's concern.
        library.rd_kafka_conf_set(conf, b"log_level", b"0", error, _ERROR_BYTES)
        self._handle = library.rd_kafka_new(0, conf, error, _ERROR_BYTES)
        if not self._handle:
            raise UnavailableError(f"mock cluster: {error.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, self._brokers)
        for name, partitions in self._topics.items():
            self.create_topic(name, partitions)
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        self.bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        return self

    def create_topic(self, name: str, partitions: int) -> None:
        """A topic with a number of partitions; those made by use get four."""
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent_kafka has loaded, with the signatures used here."""
    package = Path(confluent_kafka.__file__).parent
    folders = (package.with_name("confluent_kafka.libs"), package / ".dylibs")
    found = [path for folder in folders for path in sorted(folder.glob("librdkafka*"))]
    if not found:
        raise UnavailableError(f"no librdkafka beside confluent_kafka on {sys.platform}")
    library = ctypes.CDLL(str(found[0]))
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", ctypes.c_int, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
