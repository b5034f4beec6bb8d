import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import camera_to_info
from mambapose_ros.nodes.intrinsics import Intrinsics

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
