import re

import numpy as np
import pytest
import yaml
from bag_samples import FRAME, SECOND, TYPES, assert_same_fields, image, random_people, random_skeletons, write
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from mambapose_ros.bags import BagError, BagReader
from mambapose_ros.bags.message_types import IMAGE
from mambapose_ros.messages import keypoints_message, skeletons_message


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_every_field_of_a_message_survives(storage, tmp_path):
    rng = np.random.default_rng(4)
    written = {
        "/keypoints": keypoints_message(TYPES, FRAME, random_people(rng)),
        "/skeletons": skeletons_message(TYPES, FRAME, random_skeletons(rng)),
        "/markers": TYPES.MarkerArray(markers=[TYPES.Marker(ns="p1", points=[TYPES.Point(x=1.0)])]),
    }
    write(tmp_path / "bag", list(written.items()), storage)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.storage == storage
        assert bag.topics == {topic: message.__msgtype__ for topic, message in sorted(written.items())}
        read = {recorded.topic: recorded for recorded in bag.messages(written)}
    assert [read[topic].log_time_ns for topic in written] == [0, SECOND, 2 * SECOND]
    for topic, message in written.items():
        again = TYPES.read(read[topic].data, message.__msgtype__)
        assert_same_fields(again, message, rtol=1e-6)  # float32


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("bag/metadata.yaml", "a: [", "expected what rosbag2 writes"),
        ("bag/metadata.yaml", "rosbag2_bagfile_information: {storage_identifier: tape}", "got 'tape'"),
        ("bag/metadata.yaml", "rosbag2_bagfile_information: {storage_identifier: mcap}", "cannot open the bag"),
        ("bag.mcap", "", "cannot open the bag"),
        ("bag.db3", "not a database", "cannot open the bag"),
        ("bag.txt", "", "ends in '.txt'"),
    ],
)
def test_what_is_no_bag_is_refused(name, content, expected, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(BagError, match=re.escape(expected)):
        BagReader(path.parent if path.name == "metadata.yaml" else path)


def images(count: int):
    """(recording time, message), a second apart."""
    return [(index * SECOND, image(data=np.full_like(FRAME.image, index))) for index in range(count)]


def record(folder, storage, recorded, mode=CompressionMode.NONE):
    """A bag of images, as rosbags writes it."""
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    definition, digest = TYPES.definition(IMAGE)
    with writer:
        connection = writer.add_connection("/image", IMAGE, msgdef=definition, rihs01=digest)
        for log_time_ns, message in recorded:
            writer.write(connection, log_time_ns, TYPES.write(message))
    return folder


def read(folder):
    with BagReader(folder) as bag:
        return [(one.log_time_ns, TYPES.read(one.data, IMAGE).data[0]) for one in bag.messages(["/image"])]


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("sqlite3", CompressionMode.FILE),
        ("sqlite3", CompressionMode.MESSAGE),
        ("mcap", CompressionMode.FILE),
        ("mcap", CompressionMode.MESSAGE),
        ("mcap", CompressionMode.STORAGE),
    ],
)
def test_compressed_bags_are_read(storage, mode, tmp_path):
    record(tmp_path / "bag", storage, images(3), mode)
    assert read(tmp_path / "bag") == [(0, 0), (SECOND, 1), (2 * SECOND, 2)]


@pytest.mark.parametrize(("storage", "suffix"), [("sqlite3", ".db3"), ("mcap", ".mcap")])
def test_a_bag_of_several_files_is_read_from_the_first_to_the_last(storage, suffix, tmp_path):
    parts = [record(tmp_path / f"part_{i}", storage, images(5)[2 * i : 2 * i + 2]) for i in range(3)]
    folder = tmp_path / "bag"
    folder.mkdir()
    metadata = yaml.safe_load((parts[0] / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    information["relative_file_paths"] = [f"{part.name}{suffix}" for part in parts]
    information["message_count"] = information["topics_with_message_count"][0]["message_count"] = 5
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    for part in parts:
        (part / f"{part.name}{suffix}").rename(folder / f"{part.name}{suffix}")
    assert read(folder) == [(i * SECOND, i) for i in range(5)]


@pytest.mark.parametrize(("storage", "rescue"), [("sqlite3", ".recover"), ("mcap", "mcap recover")])
def test_a_file_that_was_cut_off_is_refused_with_a_way_out(storage, rescue, tmp_path):
    record(tmp_path / "bag", storage, images(20))
    (file,) = (path for path in (tmp_path / "bag").iterdir() if path.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BagError, match=f"cannot open the bag .*{rescue}"):
        BagReader(tmp_path / "bag")


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_recording_that_was_not_finished_is_refused_with_a_way_out(storage, tmp_path):
    record(tmp_path / "bag", storage, images(2))
    (tmp_path / "bag" / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=r"got a folder with bag\.\w+ only; `ros2 bag reindex"):
        BagReader(tmp_path / "bag")


def test_a_compression_that_is_not_known_is_named(tmp_path):
    record(tmp_path / "bag", "sqlite3", images(2), CompressionMode.MESSAGE)
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("zstd", "lz4"))
    with pytest.raises(BagError, match="'lz4' is not supported"):
        BagReader(tmp_path / "bag")
