"""What the demo's nodes publish, recorded in the formats of rosbag2, gives the same skeletons once more offline."""

from functools import partial
from itertools import takewhile

import numpy as np
import pytest
from bag_samples import TYPES
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from ros_harness import Listener, NodeProcess
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from mambapose_ros.bags import BagReader
from mambapose_ros.cli.main import main
from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.nodes.conversions import stamp_to_ns
from mambapose_ros.nodes.message_types import MESSAGE_TYPES

ROBOT = "/recorded_robot"
TOPICS = {
    f"{ROBOT}/image": Image,
    f"{ROBOT}/camera_info": CameraInfo,
    f"{ROBOT}/ground_truth/skeletons": SkeletonArray,
    f"{ROBOT}/keypoints": PersonKeypointsArray,
    f"{ROBOT}/skeletons": SkeletonArray,
    f"{ROBOT}/markers": MarkerArray,
}
EVERY_ONE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
FRAMES = 8
RATE_HZ = 3.0  # that no frame is dropped on a busy machine


class Recorder:
    """Keeps the bytes of every message, and when it came."""

    def __init__(self, listener) -> None:
        self.listener = listener
        self.kept: list[tuple[str, int, bytes]] = []
        for topic, kind in TOPICS.items():
            listener.node.create_subscription(kind, topic, partial(self._keep, topic), EVERY_ONE, raw=True)

    def _keep(self, topic: str, data: bytes) -> None:
        self.kept.append((topic, self.listener.node.get_clock().now().nanoseconds, data))

    def messages(self, name: str) -> dict[int, object]:
        """Stamp -> message of a topic."""
        topic = f"{ROBOT}/{name}"
        messages = [deserialize_message(data, TOPICS[topic]) for kept, _, data in self.kept if kept == topic]
        return {stamp_to_ns(message.header.stamp): message for message in messages}

    def since(self, stamp_ns: int) -> list[tuple[str, int, bytes]]:
        """What came from an image of this stamp on."""
        images = [index for index, (topic, _, _) in enumerate(self.kept) if topic == f"{ROBOT}/image"]
        return self.kept[images[list(self.messages("image")).index(stamp_ns)] :]


def ids(message) -> set[str]:
    return {skeleton.id for skeleton in message.skeletons}


@pytest.fixture(scope="module")
def recording():
    """(stamp -> SkeletonArray that pose_node published since it started anew, everything recorded since then)."""
    listener = Listener("recorder")
    size = {"width": 320, "height": 240}
    with (
        NodeProcess("pose_node", ROBOT, device="cpu"),
        NodeProcess("source_node", ROBOT, source="synthetic:walk", rate=RATE_HZ, **size),
    ):
        recorder = Recorder(listener)

        def calibrated():
            skeletons = recorder.messages("skeletons").values()
            return [ids(m) for m in skeletons if m.skeletons and not m.skeletons[0].intrinsics_assumed]

        before = listener.spin_until(calibrated, "skeletons of a camera whose intrinsics came")[-1]
        client = listener.node.create_client(Trigger, f"{ROBOT}/pose_node/reset")
        listener.spin_until(client.service_is_ready, "the service reset")
        client.call_async(Trigger.Request())

        def anew():
            skeletons = recorder.messages("skeletons")
            return {stamp: message for stamp, message in skeletons.items() if ids(message) - before}

        listener.spin_until(lambda: len(anew()) >= FRAMES, f"{FRAMES} skeletons after the reset")
    published = anew()
    listener.close()
    return published, recorder.since(min(published))


def write(folder, storage, recorded) -> None:
    """A bag as a recorder of today writes it."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()]) as bag:
        connections = {}
        for topic, kind in TOPICS.items():
            name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
            definition, digest = TYPES.definition(name)
            connections[topic] = bag.add_connection(topic, name, msgdef=definition, rihs01=digest)
        for topic, log_time_ns, data in recorded:
            bag.write(connections[topic], log_time_ns, data)


def numbers(message) -> np.ndarray:
    """(people, joints, 16): everything that a SkeletonArray says of joints."""
    return np.array(
        [
            [
                (*vector(joint.position), *vector(joint.velocity), joint.confidence, *joint.covariance)
                for joint in skeleton.joints
            ]
            for skeleton in message.skeletons
        ]
    )


def vector(message) -> tuple[float, float, float]:
    return message.x, message.y, message.z


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_recording_of_the_demo_gives_its_skeletons_once_more(storage, recording, tmp_path):
    published, recorded = recording
    write(tmp_path / "in", storage, recorded)
    with BagReader(tmp_path / "in") as bag:
        assert [(one.topic, one.log_time_ns, one.data) for one in bag.messages(TOPICS)] == recorded
    as_live = ["--window", "27", "--lookahead", "0", "--device", "cpu"]
    assert main(["bag", str(tmp_path / "in"), str(tmp_path / "out"), *as_live]) == 0

    with BagReader(tmp_path / "out") as bag:
        found = {name: list(bag.messages([f"{ROBOT}/{name}"])) for name in ("skeletons", "markers")}
    offline = [deserialize_message(one.data, SkeletonArray) for one in found["skeletons"]]
    # Where pose_node left out an image, what it knows of the past is no longer the same.
    same_past = list(takewhile(lambda message: stamp_to_ns(message.header.stamp) in published, offline))
    assert len(same_past) >= FRAMES
    for message in same_past:
        live = published[stamp_to_ns(message.header.stamp)]
        assert message.header == live.header
        assert message.joint_names == live.joint_names
        assert [skeleton.roi for skeleton in message.skeletons] == [skeleton.roi for skeleton in live.skeletons]
        np.testing.assert_array_equal(numbers(message), numbers(live))

    draw = SkeletonMarkers(MESSAGE_TYPES)
    by_rclpy = [serialize_message(draw(message)) for message in offline]
    assert [one.data for one in found["markers"]] == by_rclpy
    assert [one.log_time_ns for one in found["markers"]] == [one.log_time_ns for one in found["skeletons"]]
