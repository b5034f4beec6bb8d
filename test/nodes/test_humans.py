import sys

import numpy as np
import pytest

from mambapose_ros.errors import UserError
from mambapose_ros.nodes.humans import hri_messages, is_body_id, openpose_points
from mambapose_ros.skeleton import JOINT_INDEX

POINTS = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("left_eye", "right_eye", "left_ear", "right_ear"),
)
"""As the constants of hri_msgs/Skeleton2D count them."""


def test_joints_are_at_the_places_of_skeleton2d_in_parts_of_the_image():
    xy = np.stack([10.0 * np.arange(17) + 9.5, np.full(17, 59.5)], axis=1)
    confidence = np.linspace(0.1, 0.9, 17)
    points = openpose_points(xy, confidence, 200, 100)
    assert points.shape == (18, 3)
    for point, name in zip(points, POINTS, strict=True):
        if name in JOINT_INDEX and name != "neck":
            joint = JOINT_INDEX[name]
            np.testing.assert_allclose(point, (10 * (joint + 1) / 200, 0.6, confidence[joint]), atol=1e-12)
    right, left = JOINT_INDEX["right_shoulder"], JOINT_INDEX["left_shoulder"]
    neck = (10 * ((right + left) / 2 + 1) / 200, 0.6, confidence[[right, left]].min())
    np.testing.assert_allclose(points[POINTS.index("neck")], neck, atol=1e-12)
    unknown = [POINTS.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
    assert not points[unknown].any()


@pytest.mark.parametrize("place", [(np.nan, np.nan), (-1.0, 5.0), (5.0, 101.0)])
def test_a_joint_that_is_nowhere_in_the_image_is_unknown(place):
    xy = np.full((17, 2), 5.0)
    xy[JOINT_INDEX["left_shoulder"]] = place
    points = openpose_points(xy, np.ones(17), 100, 100)
    assert not points[POINTS.index("left_shoulder")].any()
    assert points[POINTS.index("right_shoulder"), 2] == 1.0


@pytest.mark.parametrize(
    ("name", "valid"),
    [("p1", True), ("front_p12", True), ("", False), ("1p", False), ("a-b", False), ("a__b", False), ("a_", False)],
)
def test_ids_are_letters_digits_and_single_underscores(name, valid):
    assert is_body_id(name) == valid


def test_without_hri_msgs_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hri_msgs", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"install ros-\$ROS_DISTRO-hri-msgs, or build github.com/ros4hri/hri_msgs"):
        hri_messages()
