"""lifter_node lifts the cameras' frames together; test_distributed.py has it in the graph."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from mambapose_ros.msg import PersonKeypointsArray, Skeleton, SkeletonArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from tiny_lifter import WINDOW, save_tiny_lifter

from mambapose_ros.errors import UserError
from mambapose_ros.nodes.conversions import keypoints_to_msg, stamp_to_ns
from mambapose_ros.nodes.lifter_inputs import JoinedMessages
from mambapose_ros.nodes.lifter_node import LifterNode
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

CAMERAS = ["left", "arm/right", "rear"]
FRAME_NS = 33_333_333
TRUTH = SyntheticScene(motion="idle", width=64, height=48).render(0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_tiny_lifter(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def make_node(nodes_of_the_test, weights):
    def make(**more) -> LifterNode:
        values = {"cameras": CAMERAS, "weights": str(weights), "window": WINDOW, "flow": False, "device": "cpu", **more}
        given = [Parameter(name, value=value) for name, value in values.items()]
        node = LifterNode(namespace="/rig", parameter_overrides=given)
        nodes_of_the_test.append(node)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        return node

    return make


@pytest.fixture
def node(make_node):
    return make_node()


def frame_of(camera: int, index: int) -> JoinedMessages:
    """Somebody who stands still, further to the right in each camera's image."""
    frame = Frame((index + 1) * FRAME_NS, f"optical{camera}", TRUTH.image, TRUTH.camera)
    people = [PersonKeypoints(TRUTH.keypoints[0] + (5.0 * camera, 0.0), np.full(17, 0.9))]
    return JoinedMessages(camera, keypoints_to_msg(frame, people), (), None)


def broken(camera: int, index: int) -> JoinedMessages:
    whole = frame_of(camera, index)
    message = PersonKeypointsArray(header=whole.keypoints.header, joint_names=["nose"])
    return JoinedMessages(camera, message, (), None)


class Rig:
    """What the node says of each camera, and how many people the network was given at a time."""

    def __init__(self, listener, node, cameras: list[str] = CAMERAS) -> None:
        self.listener = listener
        self.heard = [listener.hear(SkeletonArray, f"/rig/{name}/skeletons") for name in cameras]
        self.batches: list[int] = []
        model = node._cameras[0].lifter._network._model
        model.register_forward_pre_hook(lambda _, inputs: self.batches.append(len(inputs[0])))
        for camera in node._cameras:
            if camera.name not in cameras:
                continue
            output = camera.output._skeletons_output
            listener.spin_until(output.get_subscription_count, "the node knows who listens")

    def indices(self) -> list[list[int]]:
        """Of the frames that skeletons came of, for each camera."""
        return [[stamp_to_ns(message.header.stamp) // FRAME_NS - 1 for message in heard] for heard in self.heard]

    def await_indices(self, *expected: list[int]) -> None:
        self.listener.spin_until(lambda: self.indices() == list(expected), f"skeletons of {expected}")


def test_frames_that_wait_are_lifted_in_one_call_for_each_round_of_cameras(listener, node):
    rig = Rig(listener, node)
    node.process(tuple(frame_of(*which) for which in [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)]))
    rig.await_indices([0, 1, 2], [0, 1], [0])
    assert rig.batches == [3, 2, 1]
    for camera, (heard, name) in enumerate(zip(rig.heard, ("left", "arm_right", "rear"), strict=True)):
        assert {skeleton.id for message in heard for skeleton in message.skeletons} == {f"{name}_p1"}
        assert heard[0].header.frame_id == f"optical{camera}"
    pelves = [heard[0].skeletons[0].joints[0].position for heard in rig.heard]
    assert pelves[0].x / pelves[0].z < pelves[1].x / pelves[1].z < pelves[2].x / pelves[2].z


def test_a_bad_frame_of_one_camera_does_not_keep_the_others(listener, node):
    rig = Rig(listener, node)
    node.process((frame_of(0, 0), broken(1, 0), frame_of(2, 0)))
    node.process((broken(1, 1), broken(0, 1)))
    node.process((frame_of(1, 2), frame_of(0, 2)))
    rig.await_indices([0, 2], [2], [0])
    assert rig.batches == [2, 2]
    assert node.statistics.dropped() == {"left/bad keypoints": 1, "arm/right/bad keypoints": 2}


def test_who_nobody_asks_for_is_followed_and_not_lifted(listener, node):
    rig = Rig(listener, node, ["left"])
    for index in range(3):
        node.process(tuple(frame_of(camera, index) for camera in range(3)))
    rig.await_indices([0, 1, 2])
    assert rig.batches == [1, 1, 1]
    everybody = Rig(listener, node, ["rear"])
    node.process((frame_of(0, 3), frame_of(2, 3)))
    everybody.await_indices([3])
    assert everybody.batches == [2]
    (person,) = everybody.heard[0][0].skeletons
    assert (person.id, person.tracking_state) == ("rear_p1", Skeleton.TRACKING_TRACKED)  # since the first frame


def test_several_frames_of_each_camera_wait(node, monkeypatch):
    """While the worker is busy: of five frames of each of three cameras, that come in turn, the three newest."""
    waiting = {}
    monkeypatch.setattr(node, "submit", lambda messages, sender: waiting.update({sender: messages}))
    for index in range(5):
        for camera in range(len(CAMERAS)):
            node._hand_over(frame_of(camera, index))
    kept = sorted((messages.camera, messages.stamp_ns // FRAME_NS - 1) for messages in waiting.values())
    assert kept == [(camera, index) for camera in range(3) for index in (2, 3, 4)]


def test_ids_are_not_given_again_after_a_cleanup(listener, node):
    rig = Rig(listener, node)
    node.process((frame_of(0, 0),))
    rig.await_indices([0], [], [])
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    node.process((frame_of(0, 1),))
    rig.await_indices([0, 1], [], [])
    assert [heard.skeletons[0].id for heard in rig.heard[0]] == ["left_p1", "left_p2"]


class SlowTransforms:
    """A stand-in for tf2_ros that knows all frames but one; that one's transform it waits for until told to stop."""

    def __init__(self, missing: str) -> None:
        self.asked, self.stop = threading.Event(), threading.Event()
        self._missing = missing
        self.Buffer = lambda: SimpleNamespace(lookup_transform=self._lookup, clear=lambda: None)
        self.TransformListener = lambda buffer, node: SimpleNamespace(unregister=lambda: None)

    def _lookup(self, target: str, source: str, time, timeout) -> TransformStamped:
        if source == self._missing:
            self.asked.set()
            assert self.stop.wait(60.0)
            raise LookupError("it is not known")
        return TransformStamped()


def test_a_missing_transform_of_one_camera_does_not_delay_the_others(listener, make_node, monkeypatch):
    transforms = SlowTransforms(missing="optical1")
    monkeypatch.setitem(sys.modules, "tf2_ros", transforms)
    try:
        node = make_node(target_frame="map")
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        rig = Rig(listener, node)
        for index in range(3):
            node.process(tuple(frame_of(camera, index) for camera in range(3)))
        rig.await_indices([0, 1, 2], [], [0, 1, 2])
        assert transforms.asked.is_set()
        assert {message.header.frame_id for heard in rig.heard for message in heard} == {"map"}
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    finally:
        transforms.stop.set()
    listener.spin_until(lambda: "it is not known" in " ".join(node.problems()), "the reason")
    assert [problem for problem in node.problems() if "not published" in problem] == [
        "arm/right/skeletons not published: no transform from optical1 to map at the image's stamp: it is not known"
    ]


def test_of_a_camera_that_nobody_asks_for_nothing_is_subscribed(listener, node):
    """So its stages rest."""
    publishers = {
        name: listener.node.create_publisher(PersonKeypointsArray, f"/rig/{name}/keypoints", 5) for name in CAMERAS
    }
    heard = listener.hear(SkeletonArray, "/rig/left/skeletons")
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def asked_for() -> list[str]:
        node.look_for_demand()
        return [name for name, publisher in publishers.items() if publisher.get_subscription_count()]

    listener.spin_until(lambda: asked_for() == ["left"], "keypoints of the left camera are asked for")
    listener.hear(SkeletonArray, "/rig/rear/skeletons")
    listener.spin_until(lambda: asked_for() == ["left", "rear"], "those of the rear one too")
    left = next(s for s in listener.node.subscriptions if s.topic_name == "/rig/left/skeletons")
    listener.node.destroy_subscription(left)
    listener.spin_until(lambda: asked_for() == ["rear"], "those of the left one no more")
    told = node.problems()  # no camera_info has come; of a camera that nobody wants, it does not matter
    assert not [problem for problem in told if problem.startswith("left/")]
    assert not heard


@pytest.mark.parametrize("name", ["1st", "arm-2", "a__b"])
def test_names_that_cannot_begin_ids_are_refused(name):
    with pytest.raises(UserError, match="expected names of letters, digits and single _"):
        LifterNode(parameter_overrides=[Parameter("cameras", value=["left", name])])


def test_what_is_wrong_with_a_camera_is_said_at_the_start_though_nobody_asks_for_it(make_node):
    node = make_node(**{"qos_overrides./rig/rear/keypoints.subscription.reliability": "besteffort"})
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert not [s.topic_name for s in node.subscriptions if s.topic_name.endswith("keypoints")]
