import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Quaternion, Transform, Vector3
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rclpy.clock import ClockType
from rclpy.parameter import Parameter
from rclpy.time import Time
from scipy.spatial.transform import Rotation

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import stamp_to_ns
from mambapose_ros.nodes.transforms import TransformListener, body_transforms, in_frame
from mambapose_ros.skeleton import JOINT_INDEX, JOINT_NAMES
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import LiftedFrame, Skeleton3D

CAMERA = Camera.from_fov(64, 48)
JOINTS = SyntheticScene(motion="wave", people=1, seed=0, width=64, height=48, fps=30.0).render(0).joints[0]


def lifted(*skeletons: Skeleton3D) -> LiftedFrame:
    return LiftedFrame(5_000_000_007, "optical", CAMERA, (), skeletons)


def person(name: str, joints: np.ndarray = JOINTS, **changes) -> Skeleton3D:
    return Skeleton3D(**{"id": name, "joints": joints, "confidence": np.ones(17), "scale_source": "learned", **changes})


def position(transform: Transform) -> np.ndarray:
    t = transform.translation
    return np.array([t.x, t.y, t.z])


def rotation(transform: Transform) -> np.ndarray:
    q = transform.rotation
    return Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()


def test_a_body_lies_between_the_hips_with_z_toward_the_head():
    (transform,) = body_transforms(lifted(person("p7")), with_joints=False)
    assert transform.child_frame_id == "body_p7"
    assert transform.header.frame_id == "optical"
    assert stamp_to_ns(transform.header.stamp) == 5_000_000_007
    hips = JOINTS[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]]
    np.testing.assert_allclose(position(transform.transform), hips.mean(axis=0), atol=1e-6)
    trunk = JOINTS[JOINT_INDEX["thorax"]] - JOINTS[0]
    turn = rotation(transform.transform)
    np.testing.assert_allclose(turn[:, 2], trunk / np.linalg.norm(trunk), atol=1e-6)
    assert turn[:, 1] @ (hips[0] - hips[1]) > 0.0  # y to the left


def test_joints_have_frames_when_asked_those_that_are_known():
    joints = JOINTS.copy()
    joints[JOINT_INDEX["left_wrist"]] = np.nan
    transforms = body_transforms(lifted(person("p1", joints)), with_joints=True)
    names = {transform.child_frame_id for transform in transforms}
    # Without the wrist it is not known either how the elbow is turned.
    unknown = {"body_p1_left_wrist", "body_p1_left_elbow"}
    assert names == {"body_p1", *(f"body_p1_{name}" for name in JOINT_NAMES)} - unknown
    for transform in transforms[1:]:
        name = transform.child_frame_id.removeprefix("body_p1_")
        np.testing.assert_allclose(position(transform.transform), joints[JOINT_INDEX[name]], atol=1e-9)


@pytest.mark.parametrize("changes", [{"state": "lost"}, {"scale_source": "none"}, {"joints": np.full((17, 3), np.nan)}])
def test_who_is_nowhere_has_no_frame(changes):
    transforms = body_transforms(lifted(person("p1", **changes), person("p2")), with_joints=False)
    assert [transform.child_frame_id for transform in transforms] == ["body_p2"]


@given(
    hnp.arrays(np.float64, 3, elements=st.floats(-3.0, 3.0)), hnp.arrays(np.float64, 3, elements=st.floats(-9.0, 9.0))
)
def test_people_in_another_frame(axis, shift):
    turn = Rotation.from_rotvec(axis)
    q = Quaternion(**dict(zip("xyzw", map(float, turn.as_quat()), strict=True)))
    transform = Transform(rotation=q, translation=Vector3(**dict(zip("xyz", map(float, shift), strict=True))))
    spread = np.diag([1e-4, 4e-4, 9e-4])
    seen = person("p1", velocity=np.tile([1.0, 2.0, 3.0], (17, 1)), covariance=np.tile(spread, (17, 1, 1)))
    moved = in_frame(lifted(seen), "map", transform)
    assert (moved.frame_id, moved.stamp_ns) == ("map", 5_000_000_007)
    (there,) = moved.skeletons
    np.testing.assert_allclose(there.joints, turn.apply(JOINTS) + shift, atol=1e-9)
    np.testing.assert_allclose(there.velocity[3], turn.apply([1.0, 2.0, 3.0]), atol=1e-9)
    direction = np.array([0.6, 0.0, 0.8])  # variance along a direction goes with it
    along = turn.apply(direction)
    np.testing.assert_allclose(along @ there.covariance[5] @ along, direction @ spread @ direction, atol=1e-9)


def test_what_is_not_known_stays_unknown_in_another_frame():
    (there,) = in_frame(lifted(person("p1")), "map", Transform()).skeletons
    assert there.velocity is None
    assert there.covariance is None


def test_without_tf2_ros_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)  # as if it were not installed
    node = rclpy.create_node("no_tf2")
    try:
        with pytest.raises(UserError, match=r"install ros-\$ROS_DISTRO-tf2-ros-py, or leave target_frame empty"):
            TransformListener(node)
    finally:
        node.destroy_node()


def set_time(node, seconds: int) -> None:
    node.get_clock().set_ros_time_override(Time(seconds=seconds, clock_type=ClockType.ROS_TIME))


def test_when_simulated_time_runs_back_transforms_of_the_future_are_forgotten(monkeypatch):
    """Also while no image is worked on: tf2 keeps out what is older than the newest by ten seconds."""
    cleared = []
    buffer = SimpleNamespace(clear=lambda: cleared.append(True))
    listener = SimpleNamespace(unregister=lambda: None)
    stand_in = SimpleNamespace(Buffer=lambda: buffer, TransformListener=lambda buffer, node: listener)
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in)
    node = rclpy.create_node("looping", parameter_overrides=[Parameter("use_sim_time", value=True)])
    try:
        transforms = TransformListener(node)
        for seconds in (50, 60):
            set_time(node, seconds)
        assert not cleared
        set_time(node, 5)
        assert cleared == [True]
        transforms.close()
        set_time(node, 1)
        assert cleared == [True]
    finally:
        node.destroy_node()
