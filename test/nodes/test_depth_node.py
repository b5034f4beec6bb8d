import numpy as np
import pytest
from ros_harness import NodeProcess
from sensor_msgs.msg import Image

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.dense_maps import depth_from_image, depth_topic
from mambapose_ros.nodes.depth_node import DepthNode
from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.types import DepthMap, Frame


class Redness:
    """A depth estimator without a network."""

    def __call__(self, frame: Frame) -> DepthMap:
        return DepthMap(frame.image[..., 0].astype(np.float32), False, "redness")

    def reset(self) -> None:
        pass


@pytest.fixture
def node():
    made = DepthNode()
    yield made
    made.close()
    made.destroy_node()


def test_depth_has_the_stamp_of_its_image_and_the_width_asked_for(node, listener):
    heard = listener.hear(Image, "inverse_depth")
    image = np.zeros((600, 800, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, 800)
    frame = Frame(12_345_678_901, "optical", image, Camera.from_fov(800, 600))
    listener.spin_until(lambda: listener.node.count_publishers("inverse_depth"), "depth_node is there")

    def send_and_check():
        node.run_stage(Redness(), frame)
        return heard

    listener.spin_until(send_and_check, "depth")
    assert (heard[0].header.stamp.sec, heard[0].header.stamp.nanosec) == (12, 345_678_901)
    assert heard[0].header.frame_id == "optical"
    depth = depth_from_image(heard[0])
    assert depth.shape == (480, 640)
    np.testing.assert_allclose(depth[0], np.linspace(0, 255, 640), atol=1.5)


def test_metres_and_inverse_depth_have_topics_of_their_own():
    topics = {name: depth_topic(name) for name in DEPTHS if name != "off"}
    assert {name for name, topic in topics.items() if topic == "inverse_depth"} == {"depth_anything_v2_small"}
    assert set(topics.values()) == {"depth", "inverse_depth"}


def test_a_network_that_is_not_there_is_said_with_the_command_that_brings_it(listener, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with NodeProcess("depth_node", "/no_network", depth="depth_anything_v2_metric_indoor_small") as node:
        command = "`mambapose download depth-anything-v2-metric-indoor-small`"
        listener.spin_until(lambda: command in node.output(), f"{command} in the log", 120.0)
        assert node.running
