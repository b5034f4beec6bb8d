import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rclpy.clock import ClockType
from rclpy.parameter import Parameter
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.nodes import skeleton_output
from mambapose_ros.nodes.conversions import ns_to_stamp, stamp_to_ns
from mambapose_ros.nodes.skeleton_output import SkeletonOutput
from mambapose_ros.nodes.transforms import TransformListener, body_transforms, in_frame
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.skeleton import JOINT_INDEX, JOINT_NAMES
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import LiftedFrame, PersonKeypoints, Skeleton3D

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


class StandIn:
    """For tf2_ros: writes down what is done to the buffer."""

    def __init__(self) -> None:
        self.cleared, self.moving, self.static = 0, [], []
        self.Buffer = lambda: SimpleNamespace(
            clear=self._clear,
            set_transform=lambda transform, authority: self.moving.append(transform.child_frame_id),
            set_transform_static=lambda transform, authority: self.static.append(transform.child_frame_id),
        )

    def _clear(self) -> None:
        self.cleared += 1

    def TransformListener(self, buffer, node):
        self.buffer = buffer
        return SimpleNamespace(unregister=lambda: None)

    def hear(self, name: str, seconds: float) -> None:
        """What tf2's listener does, from Humble on, with each transform of a message."""
        header = Header(stamp=ns_to_stamp(round(seconds * 1e9)), frame_id="map")
        self.buffer.set_transform(TransformStamped(header=header, child_frame_id=name), "default_authority")


@pytest.fixture
def tf2(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in)
    return stand_in


@pytest.fixture
def transforms(tf2, listener):
    made = TransformListener(listener.node)
    yield made
    made.close()


def test_when_simulated_time_runs_back_transforms_of_the_future_are_forgotten(tf2):
    """Also while no image is worked on: tf2 keeps out what is older than the newest by ten seconds."""
    node = rclpy.create_node("looping", parameter_overrides=[Parameter("use_sim_time", value=True)])
    try:
        transforms = TransformListener(node)
        for seconds in (50, 60):
            set_time(node, seconds)
        assert not tf2.cleared
        set_time(node, 5)
        assert tf2.cleared == 1
        transforms.close()
        set_time(node, 1)
        assert tf2.cleared == 1
    finally:
        node.destroy_node()


@pytest.mark.parametrize("prefix", ["", "front_", "robot2_arm_right_"])
def test_of_people_nothing_is_heard_since_tf2_never_removes_a_frame(tf2, transforms, prefix):
    (seen,) = Tracker(id_prefix=prefix)(1, [PersonKeypoints(np.zeros((17, 2)), np.ones(17))], None)
    for transform in body_transforms(lifted(person(seen.id)), with_joints=True):
        tf2.hear(transform.child_frame_id, 1.0)
    assert not tf2.moving
    robots = ["body_link", "body_imu", "body_p", "body_clamp1", "bodyp1", "body_p1_camera"]
    for name in robots:
        tf2.hear(name, 1.0)
    assert tf2.moving == robots
    tf2.buffer.set_transform_static(TransformStamped(child_frame_id="optical"), "default_authority")
    assert tf2.static == ["optical"]


def output_by(transforms: TransformListener) -> SkeletonOutput:
    parameters = {"publish_tf": False, "target_frame": "map"}
    node = SimpleNamespace(parameters=parameters, create_output=lambda *given: None, heard_by_itself=set())
    output = SkeletonOutput(node)
    output.load(transforms)
    return output


def test_one_cameras_jitter_does_not_cost_the_others_their_transforms(tf2, transforms):
    camera = output_by(transforms)
    tf2.hear("base_link", 100.0)
    camera.stamps_ran_backwards()  # a stamp 1 ms back
    for seconds in (100.1, 100.099, 99.9, 100.2):
        tf2.hear("base_link", seconds)
    tf2.hear("arm", 50.0)  # somebody else's clock
    tf2.hear("arm", 50.1)
    assert not tf2.cleared
    camera.unload()


@pytest.mark.parametrize("tf_first", [False, True])
def test_when_time_was_set_back_transforms_of_the_future_are_forgotten_once(tf2, transforms, tf_first):
    cameras = [output_by(transforms) for _ in range(2)]
    tf2.hear("base_link", 100.0)
    if tf_first:
        tf2.hear("base_link", 39.9)
        assert not tf2.cleared  # it may be another clock's, that nobody minds
    for camera in cameras:
        camera.stamps_ran_backwards()
        tf2.hear("base_link", 40.0)
    for seconds in (40.1, 40.2):
        tf2.hear("base_link", seconds)
    assert tf2.cleared == 1
    assert len(tf2.moving) == 5 + tf_first
    for camera in cameras:
        camera.unload()


def test_once_forgotten_another_clock_in_tf_costs_nothing_more(tf2, transforms):
    tf2.hear("base_link", 100.0)
    transforms.stamps_ran_backwards()
    for name, seconds in [("base_link", 40.0), ("arm", 40.0), ("arm", 20.0)]:
        tf2.hear(name, seconds)
    assert tf2.cleared == 1


@pytest.mark.parametrize(("weights", "publish_tf", "topics"), [("x", True, 2), ("", True, 1), ("x", False, 1)])
def test_without_weights_or_unasked_there_is_no_tf_for_others_to_listen_to(monkeypatch, weights, publish_tf, topics):
    monkeypatch.setattr(skeleton_output, "tf_message_type", lambda: TransformStamped)
    made = []
    parameters = {"publish_tf": publish_tf, "weights": weights, "target_frame": ""}
    SkeletonOutput(SimpleNamespace(parameters=parameters, create_output=lambda *given: made.append(given)))
    assert len(made) == topics
