import threading
import time

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.nodes.conversions import ns_to_stamp
from mambapose_ros.nodes.depth_input import DepthInput
from mambapose_ros.nodes.stamp_join import KEPT

WAIT_S = 20.0  # never waited for to its end


def depth_image(stamp_ns: int, metres: float = 2.0, width: int = 4, height: int = 3, encoding: str = "32FC1") -> Image:
    values = np.full((height, width), metres, "<f4" if encoding == "32FC1" else "<u2")
    header = Header(stamp=ns_to_stamp(stamp_ns))
    step = width * values.itemsize
    return Image(header=header, encoding=encoding, width=width, height=height, step=step, data=values.tobytes())


def test_depth_is_joined_by_its_stamp():
    depth = DepthInput(WAIT_S)
    for stamp in (10, 20, 30):
        depth.put(depth_image(stamp, stamp / 10))
    np.testing.assert_array_equal(depth.take(20, 4, 3), np.full((3, 4), 2.0))
    assert depth.problem == ""


def test_a_late_partner_is_waited_for():
    depth = DepthInput(WAIT_S)
    depth.put(depth_image(10))
    late = threading.Timer(0.1, depth.put, [depth_image(20, 3.0)])
    late.start()
    assert depth.take(20, 4, 3)[0, 0] == 3.0
    late.join()


def test_a_partner_that_was_passed_over_is_not_waited_for():
    depth = DepthInput(WAIT_S)
    depth.put(depth_image(25_000_000))
    started = time.monotonic()
    assert depth.take(20_000_000, 4, 3) is None
    assert time.monotonic() - started < WAIT_S / 2
    assert "5.0 ms off" in depth.problem


def test_a_depth_camera_that_falls_silent_costs_one_timeout_and_one_that_never_spoke_none():
    depth = DepthInput(0.2)
    started = time.monotonic()
    assert depth.take(10, 4, 3) is None
    assert time.monotonic() - started < 0.1
    assert "no depth image came yet" in depth.problem
    depth.put(depth_image(10))
    started = time.monotonic()
    assert all(depth.take(stamp, 4, 3) is None for stamp in (20, 30, 40, 50, 60))
    assert 0.2 <= time.monotonic() - started < 0.8
    depth.put(depth_image(70))
    assert depth.take(70, 4, 3) is not None


def test_millimetres_that_are_called_metres_are_not_used_and_suspected():
    depth = DepthInput(WAIT_S)
    depth.put(depth_image(10, 2500.0))
    assert depth.take(10, 4, 3) is None
    assert "look like millimetres" in depth.problem
    depth.put(depth_image(20, 2500, encoding="16UC1"))
    np.testing.assert_allclose(depth.take(20, 4, 3), 2.5)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (depth_image(10, width=8), "expected depth registered to the image, 4x3, got 8x3"),
        (Image(header=depth_image(10).header, encoding="rgb8"), "16UC1"),
    ],
)
def test_depth_that_is_of_no_use_is_left_out_with_the_reason(image, expected):
    depth = DepthInput(WAIT_S)
    depth.put(image)
    assert depth.take(10, 4, 3) is None
    assert expected in depth.problem


def test_what_nobody_asks_for_does_not_pile_up():
    depth = DepthInput(WAIT_S)
    for stamp in range(100):
        depth.put(depth_image(stamp))
    assert len(depth._waiting) <= KEPT
