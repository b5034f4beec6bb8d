import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import camera_to_info, rgb_to_image
from mambapose_ros.nodes.intrinsics import Intrinsics
from mambapose_ros.nodes.pose_node import PoseNode

WIDTH, HEIGHT = 32, 24


def test_intrinsics_are_those_that_came_or_assumed_and_said_to_be():
    intrinsics, camera = Intrinsics(), Camera(WIDTH, HEIGHT, [[40, 0, 16], [0, 40, 12], [0, 0, 1]])
    assert intrinsics.at(WIDTH, HEIGHT).assumed
    assert intrinsics.problem == "no camera_info came yet"
    intrinsics.put(camera_to_info(camera, Header(frame_id="camera")))
    np.testing.assert_array_equal(intrinsics.at(WIDTH, HEIGHT).K, camera.K)
    assert intrinsics.problem == ""
    assert intrinsics.at(2 * WIDTH, HEIGHT).assumed
    assert intrinsics.problem == "expected a camera_info for 64x24, the image's size, got 32x24"
    intrinsics.put(CameraInfo(width=WIDTH, height=HEIGHT))
    assert intrinsics.at(WIDTH, HEIGHT).assumed
    assert "all zero" in intrinsics.problem


def test_rectified_images_have_the_intrinsics_of_rectified_images():
    info = camera_to_info(Camera(WIDTH, HEIGHT, [[40, 0, 16], [0, 40, 12], [0, 0, 1]]), Header(frame_id="camera"))
    info.p[0] = 33.0
    raw, rectified = Intrinsics(), Intrinsics(rectified=True)
    for intrinsics in (raw, rectified):
        intrinsics.put(info)
    assert (raw.at(WIDTH, HEIGHT).K[0, 0], rectified.at(WIDTH, HEIGHT).K[0, 0]) == (40.0, 33.0)


@pytest.mark.parametrize(("topic", "focal_length"), [("/front/image_raw", 40.0), ("/front/image_rect_color", 33.0)])
def test_the_topic_of_the_images_says_whether_they_are_rectified(nodes_of_the_test, topic, focal_length):
    node = PoseNode(
        parameter_overrides=[Parameter("weights", value=""), Parameter("autostart", value=False)],
        cli_args=["--ros-args", "-r", f"image:={topic}"],
    )
    nodes_of_the_test.append(node)
    node.trigger_configure()
    node.trigger_activate()
    header = Header(frame_id="camera")
    info = camera_to_info(Camera(WIDTH, HEIGHT, [[40, 0, 16], [0, 40, 12], [0, 0, 1]]), header)
    info.p[0] = 33.0
    node._intrinsics.put(info)
    frame = node.frame_of(rgb_to_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), header))
    assert frame.camera.K[0, 0] == focal_length
