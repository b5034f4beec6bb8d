"""A bag that was recorded, message by message."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from rosbags.rosbag2 import Reader, ReaderError

from mambapose_ros.bags.errors import BagError
from mambapose_ros.bags.message_types import COMPRESSED_IMAGE, IMAGE


@dataclass(frozen=True)
class Recorded:
    """One message of a bag.

    Attributes:
        topic: where it was published.
        log_time_ns: when it was recorded, nanoseconds.
        data: CDR bytes.
    """

    topic: str
    log_time_ns: int
    data: bytes


_STORAGES = {".mcap": "mcap", ".db3": "sqlite3"}
_RESCUE = {"mcap": "`mcap recover OLD.mcap -o NEW.mcap`", "sqlite3": "`sqlite3 OLD.db3 .recover | sqlite3 NEW.db3`"}


class BagReader:
    """A bag: a folder with metadata.yaml, or a single .mcap or .db3 file. Use it in a ``with`` statement.

    Attributes:
        storage: "sqlite3" or "mcap".
        topics: name -> message type; topics that carry several types are left out.

    Raises:
        BagError: when there is no such bag, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.storage = _storage(path)
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # a damaged file fails with whatever the storage's library throws
            rescue = f"where a recording was cut off, {_RESCUE[self.storage]} saves what there is"
            raise BagError(f"cannot open the bag {path}: {error}; {rescue}") from error
        self.topics: dict[str, str] = {
            name: info.msgtype for name, info in sorted(self._reader.topics.items()) if info.msgtype is not None
        }

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(ReaderError):
            self._reader.close()

    @property
    def image_topics(self) -> list[str]:
        """Topics of images of any kind, depth included."""
        return [topic for topic, kind in self.topics.items() if kind in (IMAGE, COMPRESSED_IMAGE)]

    def count(self, topics: Collection[str]) -> int:
        """How many messages of these topics the bag says to hold."""
        return sum(connection.msgcount for connection in self._reader.connections if connection.topic in topics)

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        """Every message of these topics, in the order of recording.

        Raises:
            BagError: where the bag is damaged, so that nothing after that can be read, and at the end when messages
                are missing.
        """
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        if not connections:
            return
        stored = self._reader.messages(connections)
        expected, came = self.count(topics), 0
        while True:
            try:
                connection, log_time_ns, data = next(stored)
            except StopIteration:
                break
            except Exception as error:  # as above
                raise BagError(f"the bag {self._path} is damaged: {type(error).__name__}: {error}") from error
            came += 1
            yield Recorded(connection.topic, log_time_ns, data)
        if came < expected:  # rosbags passes over some damage without a word
            raise BagError(f"the bag {self._path} is damaged: expected {expected} messages, found {came}")


def _storage(path: Path) -> str:
    expected = "expected a folder with metadata.yaml, or a .mcap or .db3 file"
    if path.is_file():
        storage = _STORAGES.get(path.suffix)
        if storage is None:
            convert = "; rosbags-convert turns bags of ROS 1 into those of ROS 2" if path.suffix == ".bag" else ""
            raise BagError(f"cannot read {path}: {expected}, got a file that ends in {path.suffix!r}{convert}")
        return storage
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        raise BagError(f"cannot read {path}: {expected}, got {_without_metadata(path)}")
    try:
        storage = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"][
            "storage_identifier"
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BagError(f"cannot read {metadata}: expected what rosbag2 writes, got {error!r}") from error
    if storage not in _STORAGES.values():
        raise BagError(f"cannot read {path}: expected the storage mcap or sqlite3, got {storage!r}")
    return storage


def _without_metadata(path: Path) -> str:
    """What is there instead of a bag, and what to do."""
    if not path.is_dir():
        return "nothing of that name"
    files = sorted(file.name for file in path.iterdir() if file.suffix in _STORAGES)
    if not files:
        return "a folder without one"
    return f"a folder with {', '.join(files)} only; `ros2 bag reindex {path}` writes one, or give the file itself"
