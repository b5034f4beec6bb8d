"""keypoint_node, flow_node and lifter_node find what pose_node finds, and marker_node draws it."""

import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import NodeProcess, Stopwatch
from sensor_msgs.msg import CameraInfo, Image, TimeReference
from tiny_lifter import WINDOW, save_tiny_lifter
from visualization_msgs.msg import MarkerArray

from mambapose_ros.evidence import Channel
from mambapose_ros.geometry import Camera
from mambapose_ros.models.mambapose import load_mambapose, save_mambapose
from mambapose_ros.nodes.conversions import (
    camera_to_info,
    frame_header,
    keypoints_to_msg,
    ns_to_stamp,
    rgb_to_image,
    stamp_to_ns,
)
from mambapose_ros.nodes.dense_maps import depth_to_image, flow_from_image, flow_to_image
from mambapose_ros.perception.flow import DIS, scaled_down
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

START_S = 120.0  # several processes, on a busy machine
FRAME_NS = 33_333_333
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
SCENE = SyntheticScene(motion="walk", people=1, seed=0, width=320, height=240, fps=30.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A lifter whose answer depends on flow and depth too."""
    path = save_tiny_lifter(tmp_path_factory.mktemp("weights") / "tiny.safetensors")
    model = load_mambapose(path)
    torch.manual_seed(1)
    with torch.no_grad():
        model.trunk.embed.weight[:, Channel.CONFIDENCE :].normal_(0.0, 0.02)
    save_mambapose(model, path)
    return path


@pytest.fixture(scope="module")
def recording():
    """30 frames of somebody walking, and what a registered depth camera measures."""
    return [SCENE.render(index) for index in range(30)]


def frame_of(truth, stamp_ns: int) -> Frame:
    return Frame(stamp_ns, "optical", truth.image, truth.camera)


class Publishers:
    """Of several topics, made when first used."""

    def __init__(self, listener) -> None:
        self._listener = listener
        self._made: dict = {}

    def send(self, topic: str, message) -> None:
        self.of(type(message), topic).publish(message)

    def of(self, message_type: type, topic: str):
        if topic not in self._made:
            self._made[topic] = self._listener.node.create_publisher(message_type, topic, RELIABLE)
        return self._made[topic]

    def connect(self, message_type: type, *topics: str) -> None:
        for topic in topics:
            publisher = self.of(message_type, topic)
            self._listener.spin_until(publisher.get_subscription_count, f"a subscription to {topic}", START_S)


def newest(heard: list, stamp_ns: int):
    """The message with this stamp, if it came."""
    return next((message for message in heard if stamp_to_ns(message.header.stamp) == stamp_ns), None)


def await_stamp(listener, heard: list, stamp_ns: int):
    """The message with this stamp."""
    return listener.spin_until(lambda: newest(heard, stamp_ns), f"a message with the stamp {stamp_ns}")


def positions(message: SkeletonArray) -> dict[str, np.ndarray]:
    return {
        skeleton.id: np.array([(joint.position.x, joint.position.y, joint.position.z) for joint in skeleton.joints])
        for skeleton in message.skeletons
    }


def keypoints(message: PersonKeypointsArray) -> dict[str, np.ndarray]:
    return {person.id: np.array([(p.x, p.y, p.confidence) for p in person.keypoints]) for person in message.people}


def test_the_graph_finds_what_pose_node_finds(listener, weights, recording):
    common = {"weights": weights, "window": WINDOW, "depth": "sensor", "max_age": 3600.0}
    nodes = [
        ("pose_node", "/whole", {**common, "id_prefix": "front_"}),
        ("keypoint_node", "/graph/front", {}),
        ("flow_node", "/graph/front", {}),
        ("lifter_node", "/graph", {**common, "cameras": ["front"], "join_timeout": 0.5}),
        ("marker_node", "/graph/front", {}),
    ]
    with ExitStack() as stack:
        for name, namespace, parameters in nodes:
            stack.enter_context(NodeProcess(name, namespace, **parameters))
        spaces = ("/whole", "/graph/front")
        people = {
            space: listener.hear(PersonKeypointsArray, f"{space}/keypoints{'/tracked' if 'graph' in space else ''}")
            for space in spaces
        }
        skeletons = {space: listener.hear(SkeletonArray, f"{space}/skeletons") for space in spaces}
        markers = listener.hear(MarkerArray, "/graph/front/markers")
        publishers = Publishers(listener)
        publishers.connect(Image, *(f"{space}/{topic}" for space in spaces for topic in ("image", "depth")))
        publishers.connect(CameraInfo, *(f"{space}/camera_info" for space in spaces))
        nobody = replace(recording[0], image=np.zeros_like(recording[0].image))

        def send(truth, stamp_ns: int) -> Frame:
            frame = frame_of(truth, stamp_ns)
            for space in spaces:
                publishers.send(f"{space}/camera_info", camera_to_info(truth.camera, frame_header(frame)))
                publishers.send(f"{space}/depth", depth_to_image(truth.depth, frame_header(frame)))
                publishers.send(f"{space}/image", rgb_to_image(truth.image, frame_header(frame)))
            return frame

        everything = [*people.values(), *skeletons.values(), markers]
        send_until_running(
            listener, lambda stamp_ns: send(nobody, stamp_ns), everything, "/whole/pose_node", "/graph/lifter_node"
        )
        start_ns = listener.node.get_clock().now().nanoseconds + GAP_NS
        compared = 0
        for index, truth in enumerate(recording):
            frame = send(truth, start_ns + index * FRAME_NS)
            for heard in (*people.values(), *skeletons.values()):
                await_stamp(listener, heard, frame.stamp_ns)
            seen, seen_too = (keypoints(newest(people[space], frame.stamp_ns)) for space in spaces)
            placed, placed_too = (positions(newest(skeletons[space], frame.stamp_ns)) for space in spaces)
            assert seen.keys() == seen_too.keys()
            assert placed.keys() == placed_too.keys()
            for name in seen:
                np.testing.assert_array_equal(seen[name], seen_too[name])
            for name in placed:
                np.testing.assert_allclose(placed_too[name], placed[name], atol=1e-3)
                compared += 1
        assert compared >= 25
        listener.spin_until(lambda: any(message.markers for message in markers), "markers")


def test_a_camera_that_stops_is_reported_by_every_stage_and_recovered_from_within_a_second(
    listener, weights, recording
):
    quick = {"timeout": 0.5, "max_age": 3600.0}
    with ExitStack() as stack:
        nodes = {
            name: stack.enter_context(NodeProcess(name, "/stopping", **quick, **more))
            for name, more in {
                "keypoint_node": {},
                "flow_node": {},
                "lifter_node": {"weights": weights, "window": WINDOW},
            }.items()
        }
        skeletons = listener.hear(SkeletonArray, "/stopping/skeletons")
        diagnostics = listener.hear(DiagnosticArray, "/diagnostics")
        publishers, stamp_ns, due = Publishers(listener), listener.node.get_clock().now().nanoseconds, 0.0
        publishers.connect(Image, "/stopping/image")

        def send_until(condition, what: str) -> None:
            def send_and_check():
                nonlocal stamp_ns, due
                if time.monotonic() >= due:
                    due, stamp_ns = time.monotonic() + 0.05, stamp_ns + FRAME_NS
                    frame = frame_of(recording[0], stamp_ns)
                    publishers.send("/stopping/image", rgb_to_image(frame.image, frame_header(frame)))
                return condition()

            listener.spin_until(send_and_check, what, START_S)

        def levels() -> list[bytes]:
            newest = {status.name.partition(":")[0]: status.level for m in diagnostics for status in m.status}
            return [newest.get(f"/stopping/{name}") for name in nodes]

        def somebody() -> bool:
            return bool(skeletons and skeletons[-1].skeletons)

        send_until(lambda: somebody() and DiagnosticStatus.STALE not in levels(), "skeletons")
        silence = Stopwatch(*nodes.values())
        listener.spin_until(lambda: levels() == [DiagnosticStatus.STALE] * 3, "STALE everywhere")
        # The timeout is 0.5 s, and it is looked at five times a second; the rest is for the way.
        assert silence.read() < 0.5 + 0.2 + 0.3
        stamp_ns += 3_000_000_000
        skeletons.clear()
        back = Stopwatch(*nodes.values())
        send_until(somebody, "skeletons again")
        assert back.read() < 1.0
        send_until(lambda: DiagnosticStatus.STALE not in levels(), "nobody is STALE")
        assert back.read() < 1.0 + 0.25


GAP_NS = 5_000_000_000
"""Enough for everybody to start anew."""


def send_until_running(listener, send, heard: list[list], *nodes: str) -> None:
    """Send until everybody has found everybody: all is heard, and the nodes say that they miss nothing."""
    diagnostics = listener.hear(DiagnosticArray, "/diagnostics")
    due = 0.0

    def running() -> bool:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 0.1
            send(listener.node.get_clock().now().nanoseconds)
        newest = {status.name.partition(":")[0]: status.message for array in diagnostics for status in array.status}
        return all(heard) and all(newest.get(name) == "running" for name in nodes)

    listener.spin_until(running, f"{nodes} are running", START_S)


class Operator:
    """Sends a lifter_node what others would have made of images, and hears what it makes of that."""

    def __init__(self, listener, namespace: str, *cameras: str) -> None:
        self.listener, self.namespace, self.publishers = listener, namespace, Publishers(listener)
        self.skeletons = {name: listener.hear(SkeletonArray, f"{namespace}/{name}/skeletons") for name in cameras}
        self._diagnostics = listener.hear(DiagnosticArray, "/diagnostics")
        self.stamp_ns = listener.node.get_clock().now().nanoseconds
        self._truth = SyntheticScene(motion="idle", width=64, height=48).render(0)
        # In each camera's image, the person stands further to the right.
        self._keypoints = {name: self._truth.keypoints[0] + (20.0 * place, 0.0) for place, name in enumerate(cameras)}
        self.rays = {name: self._camera().rays(xy)[0] for name, xy in self._keypoints.items()}
        for name in cameras:
            self.publishers.connect(PersonKeypointsArray, f"{namespace}/{name}/keypoints")
            self.publishers.connect(Image, f"{namespace}/{name}/flow")
            self.publishers.connect(TimeReference, f"{namespace}/{name}/flow/since")

    def _camera(self) -> Camera:
        return Camera.from_fov(64, 48, assumed=True)

    def send(self, camera: str, with_flow: bool = True, flow: Image | None = None) -> None:
        """The next image of a camera, in which somebody stands still."""
        frame = frame_of(self._truth, self.stamp_ns)
        people = [PersonKeypoints(self._keypoints[camera], np.full(17, 0.9))]
        space, header = f"{self.namespace}/{camera}", frame_header(frame)
        self.publishers.send(f"{space}/keypoints", keypoints_to_msg(frame, people))
        if with_flow:
            since = TimeReference(header=header, time_ref=ns_to_stamp(self.stamp_ns - FRAME_NS))
            self.publishers.send(f"{space}/flow/since", since)
            flow = flow or flow_to_image(np.zeros((48, 64, 2), np.float32), header)
            flow.header = header
            self.publishers.send(f"{space}/flow", flow)

    def send_until(self, condition, what: str, cameras=None, **arguments) -> None:
        """Images 20 times a second until the condition is true."""
        due = 0.0

        def send_and_check():
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + 0.05
                self.stamp_ns += FRAME_NS
                for camera in cameras or self.skeletons:
                    self.send(camera, **arguments)
            return condition()

        self.listener.spin_until(send_and_check, what)

    def status(self):
        mine = [s for m in self._diagnostics for s in m.status if s.name.startswith(f"{self.namespace}/lifter_node")]
        return mine[-1] if mine else None

    def told(self, part: str) -> bool:
        return bool(self.status() and part in self.status().message)

    def value(self, key: str) -> int:
        return next((int(value.value) for value in self.status().values if value.key == key), 0)


@pytest.fixture(scope="module")
def lifter_node(weights):
    parameters = {"weights": weights, "window": WINDOW, "cameras": ["left", "right"], "max_age": 3600.0}
    with NodeProcess("lifter_node", "/rig", **parameters) as node:
        yield node


@pytest.fixture
def operator(listener, lifter_node):
    made = Operator(listener, "/rig", "left", "right")
    made.send_until(lambda: all(made.skeletons.values()), "skeletons of both cameras")
    return made


def test_flow_that_is_cut_off_is_reported_and_lifting_goes_on_until_it_returns(operator):
    operator.send_until(lambda: operator.status() and not operator.told("left/flow"), "both are joined")
    missing = operator.value("left/flow missing")
    for heard in operator.skeletons.values():
        heard.clear()
    operator.send_until(lambda: operator.told("left/flow does not come in time"), "the report", with_flow=False)
    assert operator.value("left/flow missing") > missing
    operator.skeletons["left"].clear()
    operator.send_until(lambda: len(operator.skeletons["left"]) > 5, "skeletons without flow", with_flow=False)
    operator.send_until(lambda: not operator.told("in time"), "flow is joined again")


def test_cameras_do_not_get_into_each_other(operator):
    for heard in operator.skeletons.values():
        heard.clear()
    operator.stamp_ns += 10_000_000_000  # a gap: ids start anew
    operator.send_until(lambda: min(map(len, operator.skeletons.values())) > 5, "skeletons of both")
    for name, other in (("left", "right"), ("right", "left")):
        (person,) = operator.skeletons[name][-1].skeletons
        assert person.id.startswith(f"{name}_p")
        pelvis = positions(operator.skeletons[name][-1])[person.id][0]
        own, others = (operator.rays[camera] for camera in (name, other))
        assert np.linalg.norm(pelvis[:2] / pelvis[2] - own) < 0.5 * np.linalg.norm(pelvis[:2] / pelvis[2] - others)
    # Only one of them jumps in time: the other's person keeps its id.
    kept = operator.skeletons["right"][-1].skeletons[0].id
    left = operator.skeletons["left"][-1].skeletons[0].id
    operator.send_until(lambda: operator.skeletons["right"][-1].skeletons[0].id == kept, "right goes on", ["right"])
    silent_until = operator.stamp_ns + 3_000_000_000  # left says nothing, for longer than people are remembered
    operator.send_until(
        lambda: stamp_to_ns(operator.skeletons["right"][-1].header.stamp) > silent_until, "right goes on", ["right"]
    )
    operator.send_until(lambda: operator.skeletons["left"][-1].skeletons[0].id != left, "left starts anew")
    assert operator.skeletons["right"][-1].skeletons[0].id == kept


def test_one_camera_of_several_that_stops_is_reported(operator):
    operator.send_until(lambda: operator.status() and not operator.told("keypoints"), "both come")
    operator.send_until(lambda: operator.told("no left/keypoints for"), "the report", ["right"])
    assert operator.status().level == DiagnosticStatus.WARN
    operator.send_until(lambda: not operator.told("left/keypoints"), "it is back")


def test_flow_of_other_images_than_the_keypoints_is_reported(operator):
    """As when both nodes are slower than the camera, and each takes what is newest for it."""

    def send_flow_of_the_next_image():
        operator.stamp_ns += FRAME_NS
        operator.send("left", with_flow=False)
        operator.stamp_ns += FRAME_NS
        space, header = "/rig/left", frame_header(frame_of(operator._truth, operator.stamp_ns))
        since = TimeReference(header=header, time_ref=ns_to_stamp(operator.stamp_ns - FRAME_NS))
        operator.publishers.send(f"{space}/flow/since", since)
        operator.publishers.send(f"{space}/flow", flow_to_image(np.zeros((48, 64, 2), np.float32), header))
        return operator.told("left/flow came for ") and operator.told("max_rate")

    operator.listener.spin_until(send_flow_of_the_next_image, "the report")
    operator.send_until(lambda: not operator.told("left/flow"), "flow is joined again")


def test_nothing_is_asked_of_the_others_while_nobody_listens(listener, weights):
    keypoints = listener.node.create_publisher(PersonKeypointsArray, "/alone/keypoints", 1)
    flow = listener.node.create_publisher(Image, "/alone/flow", 1)
    with NodeProcess("lifter_node", "/alone", weights=weights, window=WINDOW):
        listener.hear(SkeletonArray, "/alone/skeletons")
        subscribed = [keypoints.get_subscription_count, flow.get_subscription_count]
        listener.spin_until(lambda: all(count() for count in subscribed), "it subscribes")
        (subscription,) = (s for s in listener.node.subscriptions if s.topic_name == "/alone/skeletons")
        listener.node.destroy_subscription(subscription)
        listener.spin_until(lambda: not any(count() for count in subscribed), "it subscribes no longer")
        listener.hear(SkeletonArray, "/alone/skeletons")
        listener.spin_until(lambda: all(count() for count in subscribed), "it subscribes again")


def test_wrong_messages_are_said_and_lifting_goes_on(operator, lifter_node):
    operator.skeletons["left"].clear()
    wrong = Image(encoding="rgb8", height=1, width=1, step=3, data=bytes(3))
    operator.send_until(
        lambda: "flow not used: unknown encoding: expected flow as 32FC2" in lifter_node.output(),
        "the complaint",
        ["left"],
        flow=wrong,
    )
    broken = PersonKeypointsArray(joint_names=["nose"])
    broken.header.stamp = ns_to_stamp(operator.stamp_ns + FRAME_NS)
    operator.publishers.send("/rig/left/keypoints", broken)
    operator.listener.spin_until(lambda: "keypoints dropped" in lifter_node.output(), "the complaint about keypoints")
    operator.skeletons["left"].clear()
    operator.send_until(lambda: operator.skeletons["left"], "skeletons after that", ["left"])


@pytest.mark.parametrize(
    ("executable", "parameters", "complaint"),
    [
        ("lifter_node", {"cameras": ["a", "a/"]}, "parameter cameras: got ['a', 'a']; expected one or more different"),
        ("lifter_node", {"weights": "/nowhere.safetensors"}, "cannot configure: "),
        ("flow_node", {"width": 8}, "parameter width"),
        ("keypoint_node", {"detector": "external"}, "parameter detector: got 'external'; expected one of mediapipe"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(listener, executable, parameters, complaint):
    with NodeProcess(executable, "/wrong", **parameters) as node:
        listener.spin_until(lambda: complaint in node.output(), f"{complaint} in {node.output()}")


def test_flow_is_published_at_the_width_asked_for(listener, recording):
    with NodeProcess("flow_node", "/narrow", width=160):
        publishers = Publishers(listener)
        publishers.connect(Image, "/narrow/image")
        flows, references = listener.hear(Image, "/narrow/flow"), listener.hear(TimeReference, "/narrow/flow/since")
        for topic in ("/narrow/flow", "/narrow/flow/since"):
            listener.spin_until(lambda topic=topic: listener.node.count_publishers(topic), "flow_node is there")
        # Nothing is computed before the node has heard of those who listen: earlier images, until it has.
        earlier = iter(range(10**9))

        def send_an_earlier_one():
            frame = frame_of(recording[0], 1_000_000_000 + next(earlier) * 1_000_000)
            publishers.send("/narrow/image", rgb_to_image(frame.image, frame_header(frame)))
            return flows and references

        listener.spin_until(send_an_earlier_one, "flow of any image")
        stamps = [100_000_000_000 + index * FRAME_NS for index in range(4)]
        for truth, stamp_ns in zip(recording, stamps, strict=False):
            frame = frame_of(truth, stamp_ns)
            publishers.send("/narrow/image", rgb_to_image(frame.image, frame_header(frame)))
            await_stamp(listener, flows, stamp_ns)
            await_stamp(listener, references, stamp_ns)
        flows = [message for message in flows if stamp_to_ns(message.header.stamp) in stamps]
        references = [message for message in references if stamp_to_ns(message.header.stamp) in stamps]
        assert flow_from_image(flows[0]) is None
        # Since the image before; the first since itself.
        assert [stamp_to_ns(message.time_ref) for message in references] == [stamps[0], *stamps[:-1]]
        images = [scaled_down(truth.image, 160) for truth in recording[:4]]
        np.testing.assert_array_equal(flow_from_image(flows[3]), DIS()(images[3], images[2]))
        assert (flows[3].width, flows[3].height, flows[3].header.frame_id) == (160, 120, "optical")
