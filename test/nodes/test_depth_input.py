import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.nodes.conversions import ns_to_stamp
from mambapose_ros.nodes.depth_input import _REMEMBERED, DepthInput, depth_problem
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


class LaggingCamera:
    """Depth that comes after its image has given it up; ``clock`` is what the input takes for the time."""

    def __init__(self, monkeypatch, timeout_s: float = WAIT_S) -> None:
        self.now_s, self.stamp = 0.0, 0
        self.depth = DepthInput(timeout_s)
        monkeypatch.setattr(self.depth._condition, "wait_for", self._wait_in_vain)
        monkeypatch.setattr("mambapose_ros.nodes.depth_input.time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.depth.put(depth_image(0))
        assert self.depth.take(0, 4, 3) is not None

    def _wait_in_vain(self, decided, timeout_s: float) -> bool:
        if not decided():
            self.now_s += timeout_s
        return decided()

    def waited_s(self, lag_s: float) -> float:
        """How long an image waited whose depth came so much later."""
        asked_s, self.stamp = self.now_s, self.stamp + 10
        assert self.depth.take(self.stamp, 4, 3) is None
        waited_s, self.now_s = self.now_s - asked_s, asked_s + lag_s
        self.depth.put(depth_image(self.stamp))
        return waited_s


def test_depth_that_always_comes_too_late_costs_one_timeout_and_the_reason_is_told(monkeypatch):
    camera = LaggingCamera(monkeypatch, timeout_s=0.1)
    assert [camera.waited_s(lag_s=0.25) for _ in range(20)] == pytest.approx([0.1] + [0.0] * 19)
    for stamp in (camera.stamp - 5, camera.stamp + 5):
        camera.depth.put(depth_image(stamp))  # of images that were left out: says nothing of the others
    assert camera.waited_s(lag_s=0.25) == 0.0
    assert "came 250 ms after" in camera.depth.problem
    assert "later than depth_timeout (0.1 s): raise it" in camera.depth.problem


def test_a_sensor_that_was_late_and_is_gone_is_not_said_to_be_late(monkeypatch):
    camera = LaggingCamera(monkeypatch, timeout_s=0.1)
    camera.waited_s(lag_s=0.25)
    camera.now_s += 3.0
    assert camera.depth.take(camera.stamp + 10, 4, 3) is None
    assert "raise it" not in camera.depth.problem
    assert "no depth image with the colour image's stamp" in camera.depth.problem


def test_depth_from_before_the_image_that_waited_in_vain_is_no_reason_to_wait(monkeypatch):
    camera = LaggingCamera(monkeypatch, timeout_s=0.1)
    camera.stamp = 20
    assert camera.depth.take(20, 4, 3) is None
    camera.depth.put(depth_image(15))  # of an image that was left out; when it was due is not known
    assert camera.waited_s(lag_s=0.25) == 0.0


def test_depth_that_comes_in_time_again_is_waited_for_again(monkeypatch):
    camera = LaggingCamera(monkeypatch, timeout_s=0.1)
    for lag_s in (0.25, 0.25, 0.08):  # the last could have been waited for
        camera.waited_s(lag_s)
    assert camera.waited_s(lag_s=0.25) == pytest.approx(0.1)
    camera.stamp += 10
    camera.depth.put(depth_image(camera.stamp))
    assert camera.depth.take(camera.stamp, 4, 3) is not None  # it was there before its image
    assert camera.waited_s(lag_s=0.25) == pytest.approx(0.1)
    assert "after the colour image" not in camera.depth.problem


def test_images_that_went_on_without_depth_do_not_pile_up():
    depth = DepthInput(0.0)
    for stamp in range(1000):
        depth.take(stamp, 4, 3)
    assert len(depth._given_up) == _REMEMBERED


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


def test_of_a_large_image_few_pixels_are_looked_at(monkeypatch):
    """A median of all of them takes milliseconds of each image."""
    looked_at = []
    monkeypatch.setattr(np, "median", lambda values: looked_at.append(len(values)) or 2000.0)
    assert "look like millimetres" in depth_problem(np.ones((480, 640), np.float32), "32FC1", 640, 480)
    assert looked_at == [60 * 80]


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (9, 17), (480, 640)])
def test_millimetres_are_suspected_in_small_images_and_where_little_is_measured(shape):
    depth = np.full(shape, np.nan, np.float32)
    assert depth_problem(depth, "32FC1", *shape[::-1]) == ""
    depth[shape[0] // 2 :: 7, shape[1] // 2] = 2500.0  # a column
    depth[0, 0] = 2.0 if shape != (1, 1) else 2500.0
    depth[-1, -1] = 2500.0
    assert "got a median of 2500" in depth_problem(depth, "32FC1", *shape[::-1])
