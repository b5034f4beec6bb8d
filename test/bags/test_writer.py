import resource
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from bag_samples import FRAME, SECOND, TYPES, assert_same_fields, image, random_people, random_skeletons, write
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mambapose_ros.bags import BagError, BagWriter
from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.messages import keypoints_message, skeletons_message


@pytest.fixture
def written():
    rng = np.random.default_rng(4)
    skeletons = skeletons_message(TYPES, FRAME, random_skeletons(rng))
    return {
        "/keypoints": keypoints_message(TYPES, FRAME, random_people(rng)),
        "/skeletons": skeletons,
        "/markers": SkeletonMarkers(TYPES)(skeletons),
    }


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_whoever_has_none_of_the_types_can_read_them_by_the_definitions_in_the_bag(storage, written, tmp_path):
    write(tmp_path / "bag", list(written.items()), storage)
    store = get_typestore(Stores.EMPTY)
    with Reader(tmp_path / "bag") as bag:
        for connection in bag.connections:
            store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
            assert connection.digest == store.hash_rihs01(connection.msgtype)
        read = {
            connection.topic: store.deserialize_cdr(data, connection.msgtype) for connection, _, data in bag.messages()
        }
    for topic, message in written.items():
        assert_same_fields(read[topic], message, rtol=1e-6)  # float32


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_the_metadata_are_what_rosbag2_of_humble_reads(storage, written, tmp_path):
    write(tmp_path / "bag", list(written.items()), storage)
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    (file,) = metadata["relative_file_paths"]
    assert (tmp_path / "bag" / file).is_file()
    assert metadata["storage_identifier"] == storage
    assert metadata["version"] == 8
    assert metadata["starting_time"]["nanoseconds_since_epoch"] == 0
    assert metadata["duration"]["nanoseconds"] == 2 * SECOND
    topics = {topic["topic_metadata"]["name"]: topic for topic in metadata["topics_with_message_count"]}
    assert topics.keys() == written.keys()
    for topic, message in written.items():
        assert topics[topic]["message_count"] == 1
        described = topics[topic]["topic_metadata"]
        assert (described["type"], described["serialization_format"]) == (message.__msgtype__, "cdr")
        # A string of YAML with rmw's numbers: reliable, volatile, keep the last 5.
        (qos,) = yaml.safe_load(described["offered_qos_profiles"])
        assert (qos["history"], qos["depth"], qos["reliability"], qos["durability"]) == (1, 5, 1, 2)


def test_a_bag_is_not_written_over(tmp_path):
    write(tmp_path / "bag", [("/a", image())])
    with pytest.raises(BagError, match="choose another name"):
        BagWriter(tmp_path / "bag", "mcap", TYPES)


@contextmanager
def no_file_larger_than(size: int):
    """As on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("count", [30, 400], ids=["at the end", "on the way"])
def test_a_full_disk_is_said(storage, count, tmp_path):
    said = r"cannot write the bag .*bag: .*is there room on the disk"
    with no_file_larger_than(200_000), pytest.raises(BagError, match=said):
        write(tmp_path / "bag", [("/image", image())] * count, storage)
