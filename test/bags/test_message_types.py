import json

import numpy as np
import pytest
from bag_samples import FRAME, TYPES, assert_same_fields, random_people, random_skeletons

from mambapose_ros.bags import BagError, message_types
from mambapose_ros.bags.message_types import CAMERA_INFO, IMAGE, MARKER_ARRAY, PERSON_KEYPOINTS_ARRAY, SKELETON_ARRAY
from mambapose_ros.messages import keypoints_message, skeletons_message


@pytest.mark.parametrize("name", [PERSON_KEYPOINTS_ARRAY, SKELETON_ARRAY, MARKER_ARRAY, IMAGE, CAMERA_INFO])
def test_types_are_those_that_ros_built(name):
    """The hash of a type (REP-2011) covers the names and types of all its fields, nested ones too."""
    packages = pytest.importorskip("ament_index_python.packages", reason="built messages: needs ROS")
    package, _, short = name.split("/")
    try:
        share = packages.get_package_share_path(package)
    except packages.PackageNotFoundError:
        pytest.skip(f"built messages: {package} is not installed")
    description = share / "msg" / f"{short}.json"
    if not description.is_file():
        pytest.skip("type hashes: ROS before Iron has none")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(description.read_text())["type_hashes"]}
    assert TYPES.definition(name)[1] == hashes[name]


def test_ros_reads_what_was_written_and_writes_what_can_be_read():
    serialization = pytest.importorskip("rclpy.serialization", reason="rclpy")
    ros = pytest.importorskip("mambapose_ros.msg", reason="built messages")
    rng = np.random.default_rng(1)
    for message in (
        keypoints_message(TYPES, FRAME, random_people(rng)),
        skeletons_message(TYPES, FRAME, random_skeletons(rng), random_people(rng)),
    ):
        name = message.__msgtype__
        data = bytes(TYPES.write(message))
        by_ros = serialization.deserialize_message(data, getattr(ros, name.rpartition("/")[2]))
        assert_same_fields(TYPES.read(serialization.serialize_message(by_ros), name), TYPES.read(data, name))


def test_fields_left_out_are_zero_or_empty():
    marker = TYPES.Marker(ns="p1")
    assert (marker.ns, marker.text, marker.points, marker.pose.orientation.w) == ("p1", "", [], 0.0)
    assert TYPES.Joint3D().covariance.tolist() == [0.0] * 9
    assert TYPES.Marker().pose is not TYPES.Marker().pose
    assert TYPES.read(TYPES.write(marker), "visualization_msgs/msg/Marker").ns == "p1"


def test_names_that_are_wrong_are_refused():
    with pytest.raises(TypeError, match="frame_id"):
        TYPES.Header(frame="cam")
    with pytest.raises(AttributeError, match="Skeleton"):
        _ = TYPES.Skeletons


def test_definitions_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(message_types, "__file__", str(tmp_path / "mambapose_ros" / "bags" / "message_types.py"))
    with pytest.raises(BagError, match="colcon"):
        message_types._message_folder()
