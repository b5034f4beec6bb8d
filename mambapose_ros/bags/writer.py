"""A bag of results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from mambapose_ros.bags.errors import BagError
from mambapose_ros.bags.message_types import MessageTypes

METADATA_VERSION: Literal[8] = 8
"""The newest that rosbag2 of Humble reads: from version 9 on it stops at the QoS profiles (ros2/rosbag2#2013)."""

_FOREVER = QosTime(9223372036, 854775807)  # how rosbag2 writes that there is no deadline

RELIABLE_5 = Qos(
    history=QosHistory.KEEP_LAST,
    depth=5,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.VOLATILE,
    deadline=_FOREVER,
    lifespan=_FOREVER,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_FOREVER,
    avoid_ros_namespace_conventions=False,
)
"""Quality of service that players offer results with, as the nodes do."""


class BagWriter:
    """A new bag: a folder with metadata.yaml and one file. Use it in a ``with`` statement, which finishes the bag.

    Args:
        path: of the folder; must not exist.
        storage: "sqlite3" or "mcap".
        types: to write messages with.

    Raises:
        BagError: when the folder exists already or cannot be made, and later when the disk is full.
    """

    def __init__(self, path: Path, storage: str, types: MessageTypes) -> None:
        self._path, self._types = path, types
        try:
            self._writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin[storage.upper()])
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BagError(f"cannot write the bag {path}: {error}; choose another name") from error
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        # Also after an error: what was written up to it is a bag.
        with self._errors_named():
            self._writer.close()

    def add_topic(self, topic: str, type_name: str) -> None:
        """Announce a topic, reliable with a depth of 5."""
        definition, digest = self._types.definition(type_name)
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, msgdef=definition, rihs01=digest, offered_qos_profiles=[RELIABLE_5]
        )

    def write(self, topic: str, log_time_ns: int, message: Any) -> None:
        """Append a message."""
        with self._errors_named():
            self._writer.write(self._connections[topic], log_time_ns, self._types.write(message))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a storage fails with whatever its library throws
            raise BagError(f"cannot write the bag {self._path}: {error}; is there room on the disk?") from error
