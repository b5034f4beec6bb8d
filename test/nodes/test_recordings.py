"""What the demo's nodes publish, recorded in the formats of rosbag2, gives the same skeletons once more offline."""

from functools import partial

import numpy as np
import pytest
from bag_samples import TYPES
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from ros_harness import TIMEOUT_S, Listener, NodeProcess
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
IMAGES, SKELETONS = f"{ROBOT}/image", f"{ROBOT}/skeletons"
TOPICS = {
    IMAGES: Image,
    f"{ROBOT}/camera_info": CameraInfo,
    f"{ROBOT}/ground_truth/skeletons": SkeletonArray,
    f"{ROBOT}/keypoints": PersonKeypointsArray,
    SKELETONS: SkeletonArray,
    f"{ROBOT}/markers": MarkerArray,
}
EVERY_ONE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
FRAMES = 8
RATE_HZ = 3.0  # that few are dropped on a busy machine


class Recorder:
    """Keeps the bytes of every message, and when it came."""

    def __init__(self, listener) -> None:
        self.listener = listener
        self.kept: list[tuple[str, int, bytes]] = []
        for topic, kind in TOPICS.items():
            listener.node.create_subscription(kind, topic, partial(self._keep, topic), EVERY_ONE, raw=True)

    def _keep(self, topic: str, data: bytes) -> None:
        self.kept.append((topic, self.listener.node.get_clock().now().nanoseconds, data))

    def skeletons(self) -> dict[int, SkeletonArray]:
        """What pose_node published so far, by stamp."""
        messages = [deserialize_message(data, SkeletonArray) for topic, _, data in self.kept if topic == SKELETONS]
        return {stamp_to_ns(message.header.stamp): message for message in messages}

    def seen(self, stamps) -> list[tuple[str, int, bytes]]:
        """What came from the first image of these stamps on, without images of other stamps."""
        stamp_of = [
            stamp_to_ns(deserialize_message(data, Image).header.stamp) if topic == IMAGES else None
            for topic, _, data in self.kept
        ]
        first = stamp_of.index(min(stamps))
        return [one for one, stamp in list(zip(self.kept, stamp_of, strict=True))[first:] if stamp in {None, *stamps}]


def ids(message) -> set[str]:
    return {skeleton.id for skeleton in message.skeletons}


@pytest.fixture(scope="module")
def recording():
    """(stamp -> SkeletonArray since pose_node started anew, everything recorded since then but images it dropped)."""
    listener = Listener("recorder")
    size = {"width": 320, "height": 240}
    with (
        NodeProcess("pose_node", ROBOT, device="cpu"),
        NodeProcess("source_node", ROBOT, source="synthetic:wave", rate=RATE_HZ, **size),
    ):
        recorder = Recorder(listener)

        def steady():
            found = [skeleton for message in recorder.skeletons().values() for skeleton in message.skeletons]
            return any(s.tracking_state == s.TRACKING_TRACKED and not s.intrinsics_assumed for s in found)

        # Both nodes start at once, on one machine.
        listener.spin_until(steady, "somebody tracked, by a camera whose intrinsics came", timeout_s=2 * TIMEOUT_S)
        client = listener.node.create_client(Trigger, f"{ROBOT}/pose_node/reset")
        listener.spin_until(client.service_is_ready, "the service reset")
        before = set().union(*map(ids, recorder.skeletons().values()))
        client.call_async(Trigger.Request())

        def anew():
            found = recorder.skeletons()
            newest = ids(found[max(found)]) - before
            return {stamp: message for stamp, message in found.items() if newest & ids(message)}

        listener.spin_until(lambda: len(anew()) >= FRAMES, f"{FRAMES} skeletons after the reset")
    published = anew()
    listener.close()
    return published, recorder.seen(published.keys())


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
    as_live = ["--weights", "auto", "--window", "27", "--lookahead", "0", "--no-flip-average", "--device", "cpu"]
    assert main(["bag", str(tmp_path / "in"), str(tmp_path / "out"), *as_live]) == 0

    with BagReader(tmp_path / "out") as bag:
        found = {name: list(bag.messages([f"{ROBOT}/{name}"])) for name in ("skeletons", "markers")}
    offline = [deserialize_message(one.data, SkeletonArray) for one in found["skeletons"]]
    assert [stamp_to_ns(message.header.stamp) for message in offline] == list(published)
    for message, live in zip(offline, published.values(), strict=True):
        assert message.header == live.header
        assert message.joint_names == live.joint_names
        assert [skeleton.roi for skeleton in message.skeletons] == [skeleton.roi for skeleton in live.skeletons]
        np.testing.assert_array_equal(numbers(message), numbers(live))

    draw = SkeletonMarkers(MESSAGE_TYPES)
    by_rclpy = [deserialize_message(serialize_message(draw(message)), MarkerArray) for message in offline]
    assert [deserialize_message(one.data, MarkerArray) for one in found["markers"]] == by_rclpy
    assert [one.log_time_ns for one in found["markers"]] == [one.log_time_ns for one in found["skeletons"]]
