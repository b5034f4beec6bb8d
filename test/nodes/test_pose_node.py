import importlib.util
import math
import os
import re
import resource
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mambapose_ros.msg import Joint3D, PersonKeypointsArray, Skeleton, SkeletonArray
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import NodeProcess, Stopwatch
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tiny_lifter import WINDOW, save_tiny_lifter
from visualization_msgs.msg import Marker, MarkerArray

from mambapose_ros.nodes.conversions import (
    camera_to_info,
    image_to_rgb,
    keypoints_from_msg,
    keypoints_to_msg,
    ns_to_stamp,
    rgb_to_compressed,
    rgb_to_image,
    stamp_to_ns,
)
from mambapose_ros.nodes.dense_maps import depth_from_image, depth_to_image
from mambapose_ros.nodes.pose_node import PoseNode, marker_lifetime_s
from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

FRAME_NS = 33_333_333
SCENE = SyntheticScene(motion="idle", people=1, seed=0, width=320, height=240, fps=30.0)
TRUTH = SCENE.render(0)
ANY_AGE = {"max_age": 3600.0}  # stamps of these tests jump about
NOBODY = np.full((240, 320, 3), 128, np.uint8)


class Camera:
    """A camera driver of the test's own, and what pose_node says of its images."""

    def __init__(self, listener, namespace: str, reliability=ReliabilityPolicy.BEST_EFFORT, compressed=False) -> None:
        self.listener, self.namespace = listener, namespace
        qos = QoSProfile(depth=1, reliability=reliability)
        node = listener.node
        self.images = node.create_publisher(
            CompressedImage if compressed else Image, f"{namespace}/image{'/compressed' if compressed else ''}", qos
        )
        self.infos = node.create_publisher(CameraInfo, f"{namespace}/camera_info", qos)
        self.results = listener.hear(PersonKeypointsArray, f"{namespace}/keypoints")
        self._diagnostics = listener.hear(DiagnosticArray, "/diagnostics")
        self.stamp_ns = node.get_clock().now().nanoseconds

    def connect(self) -> None:
        self.listener.spin_until(lambda: self.images.get_subscription_count() > 0, "pose_node subscribes to the image")

    def header(self) -> Header:
        return Header(stamp=ns_to_stamp(self.stamp_ns), frame_id="optical")

    def send(self, message) -> None:
        """Publish one message as the next image."""
        message.header = self.header()
        self.images.publish(message)

    def send_until(self, make_message, condition, what: str):
        """Publish images 20 times a second until the condition is true; returns its value."""

        def publish_and_check():
            if time.monotonic() >= self._due:
                self.stamp_ns += FRAME_NS
                self.send(make_message())
                self._due = time.monotonic() + 0.05
            return condition()

        self._due = 0.0
        return self.listener.spin_until(publish_and_check, what)

    def send_image_until(self, image: np.ndarray, condition, what: str):
        return self.send_until(lambda: rgb_to_image(image, self.header()), condition, what)

    def status(self) -> DiagnosticStatus | None:
        """The newest of this camera's pose_node."""
        mine = [
            status
            for message in self._diagnostics
            for status in message.status
            if status.name.startswith(f"{self.namespace}/pose_node")
        ]
        return mine[-1] if mine else None

    def level(self) -> bytes | None:
        status = self.status()
        return status.level if status else None

    def value(self, key: str) -> str | None:
        status = self.status()
        return next((value.value for value in status.values if value.key == key), None) if status else None


def call(camera: Camera, service_type: type, name: str, request):
    """A service of this camera's pose_node."""
    listener = camera.listener
    client = listener.node.create_client(service_type, f"{camera.namespace}/pose_node/{name}")
    listener.spin_until(client.service_is_ready, f"service {name}")
    future = client.call_async(request)
    listener.spin_until(future.done, f"an answer of {name}")
    return future.result()


def change_state(camera: Camera, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return call(camera, ChangeState, "change_state", request).success


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_tiny_lifter(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def pose_node(weights):
    """One process for the tests that leave it running."""
    given = {**ANY_AGE, "timeout": 0.5, "weights": weights, "window": WINDOW, "id_prefix": "front_"}
    with NodeProcess("pose_node", "/shared_pose_node", **given) as node:
        yield node


@pytest.fixture
def camera(listener, pose_node):
    made = Camera(listener, "/shared_pose_node")
    made.connect()
    return made


def test_results_carry_the_stamp_and_frame_of_their_image(camera):
    sent = set()

    def message():
        sent.add(camera.stamp_ns)
        return rgb_to_image(TRUTH.image, camera.header())

    camera.send_until(message, lambda: len([r for r in camera.results if r.people]) >= 3, "3 results with a person")
    for result in camera.results:
        assert stamp_to_ns(result.header.stamp) in sent
        assert result.header.frame_id == "optical"
        assert tuple(result.joint_names) == JOINT_NAMES
    (person,) = keypoints_from_msg(camera.results[-1])
    error = np.linalg.norm(person.xy - TRUTH.keypoints[0], axis=1)
    assert np.median(error) < 0.05 * np.ptp(TRUTH.keypoints[0][:, 1])
    assert person.id.startswith("front_p")


def test_nobody_gives_an_empty_array(camera):
    camera.stamp_ns += 10_000_000_000  # a gap, so that nobody of before is looked for
    camera.send_image_until(NOBODY, lambda: camera.results and not camera.results[-1].people, "an empty result")


BAD_IMAGES = {
    "unknown encoding": Image(width=4, height=4, step=12, encoding="h264", data=bytes(48)),
    "wrong step": Image(width=4, height=4, step=11, encoding="rgb8", data=bytes(48)),
    "truncated data": Image(width=4, height=4, step=12, encoding="rgb8", data=bytes(47)),
    "empty image": Image(encoding="rgb8"),
    "odd image size": Image(width=5, height=4, step=10, encoding="yuv422", data=bytes(40)),
}


@pytest.mark.parametrize("cause", BAD_IMAGES)
def test_bad_images_are_dropped_counted_and_reported_and_good_ones_go_on(camera, pose_node, cause):
    camera.send_until(
        lambda: BAD_IMAGES[cause], lambda: camera.value(f"dropped: {cause}"), f"diagnostics count {cause}"
    )
    # It is counted first and logged then; diagnostics may come between the two.
    complaint = f"image dropped (1 so far): {cause}: "
    camera.listener.spin_until(lambda: complaint in pose_node.output(), complaint)
    camera.results.clear()
    camera.send_image_until(TRUTH.image, lambda: camera.results, "a result after bad images")


def test_the_same_complaint_is_not_repeated_for_every_frame(camera, pose_node):
    before = pose_node.output().count("wrong step")
    dropped = int(camera.value("dropped: wrong step") or 0)
    camera.send_until(
        lambda: BAD_IMAGES["wrong step"],
        lambda: int(camera.value("dropped: wrong step") or 0) >= dropped + 15,
        "15 more dropped",
    )
    # 15 in a second or a few of them; a warning every 5 s at most.
    assert pose_node.output().count("wrong step") - before < 8


def test_intrinsics_are_assumed_and_said_to_be_until_they_come(camera):
    def message_is(part: str):
        return lambda: camera.status() and part in camera.status().message

    def send_info(info: CameraInfo):
        camera.infos.publish(info)
        return rgb_to_image(TRUTH.image, camera.header())

    good = camera_to_info(TRUTH.camera, Header())
    small = camera_to_info(TRUTH.camera.resized(160, 120), Header())
    zero = CameraInfo(width=320, height=240)
    camera.send_until(lambda: send_info(good), message_is("running"), "OK with intrinsics")
    assert camera.status().level == DiagnosticStatus.OK
    camera.send_until(lambda: send_info(zero), message_is("all zero"), "a warning about an all-zero K")
    assert camera.status().level == DiagnosticStatus.WARN
    camera.send_until(lambda: send_info(small), message_is("got 160x120"), "a warning about another size")
    camera.send_until(lambda: send_info(good), message_is("running"), "OK again")


def test_stamps_that_jump_start_anew_without_using_ids_again(camera):
    seen: set[str] = set()

    def newest_id():
        return camera.results[-1].people[0].id if camera.results and camera.results[-1].people else None

    for jump_ns in (0, -30_000_000_000, 60_000_000_000, -10 * FRAME_NS):
        camera.stamp_ns += jump_ns
        camera.send_image_until(TRUTH.image, lambda: newest_id() not in {None, *seen}, f"a new id after {jump_ns} ns")
        seen.add(newest_id())
    assert len(seen) == 4


@contextmanager
def restarted(camera: Camera):
    """The camera's driver ends and starts anew, as a process of its own would."""
    camera.listener.node.destroy_publisher(camera.images)
    context = Context()
    rclpy.init(context=context)
    driver = rclpy.create_node("driver", context=context)
    try:
        camera.images = driver.create_publisher(Image, f"{camera.namespace}/image", 1)
        yield
    finally:
        driver.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize("comeback", [lambda _: nullcontext(), restarted], ids=["it goes on", "it is started anew"])
def test_a_silent_camera_is_reported_and_recovered_from_within_a_second(camera, pose_node, comeback):
    camera.send_image_until(TRUTH.image, lambda: camera.results, "a result")
    silence = Stopwatch(pose_node)
    camera.listener.spin_until(lambda: camera.level() == DiagnosticStatus.STALE, "STALE without images")
    # The node's timeout is 0.5 s and its diagnostics come every second; the rest is for the way.
    assert silence.read() < 0.5 + 1.0 + 0.25
    assert "no image for" in camera.status().message
    camera.stamp_ns += 3_000_000_000  # and a gap
    with comeback(camera):
        camera.connect()  # how long DDS takes to find a driver is not the node's affair
        camera.results.clear()
        back = Stopwatch(pose_node)
        camera.send_image_until(TRUTH.image, lambda: camera.results, "a result when images come again")
        assert back.read() < 1.0
        camera.send_image_until(
            TRUTH.image, lambda: camera.level() != DiagnosticStatus.STALE, "diagnostics when images come again"
        )
        assert back.read() < 1.0 + 0.25


def test_figures_are_in_the_diagnostics(camera):
    keys = ("rate_in_hz", "rate_out_hz", "age_p50_ms", "keypoints_ms", "flow_ms", "people", "detector", "state")
    camera.send_image_until(TRUTH.image, lambda: all(camera.value(key) for key in keys), f"all of {keys}")
    assert camera.value("state") == "active"
    assert float(camera.value("keypoints_ms")) > 0


def test_the_annotated_image_is_made_when_somebody_looks(camera):
    pictures = camera.listener.hear(Image, "/shared_pose_node/annotated")
    camera.send_image_until(TRUTH.image, lambda: pictures, "an annotated image")
    picture = image_to_rgb(pictures[-1])
    assert picture.shape == TRUTH.image.shape
    changed = np.abs(picture.astype(int) - TRUTH.image).max(axis=2) > 30
    assert changed[tuple(TRUTH.keypoints[0][:, ::-1].round().astype(int).T)].mean() > 0.5  # at the joints
    assert changed.mean() < 0.2


@contextmanager
def streaming(camera: Camera, image: np.ndarray, rate_hz: float):
    """Images at this rate, or as fast as this machine publishes them; yields the stamps sent so far."""
    message, sent, stop = rgb_to_image(image, camera.header()), [], threading.Event()

    def stream() -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            camera.stamp_ns += round(1e9 / rate_hz)
            sent.append(camera.stamp_ns)
            camera.send(message)
            due = max(due + 1.0 / rate_hz, time.monotonic())

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


LARGE = SyntheticScene(motion="idle", people=1, seed=0, width=384, height=216, fps=30.0).render(0)
SIZES = {"320x240": TRUTH.image, "3840x2160": LARGE.image.repeat(10, axis=0).repeat(10, axis=1)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate_hz", [5.0, 120.0])
@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_every_camera_works(listener, pose_node, reliability, rate_hz, size):
    image = SIZES[size]
    camera = Camera(listener, "/shared_pose_node", reliability)
    camera.connect()
    camera.stamp_ns += 3_600_000_000_000  # a gap after the last camera, so that nobody of before is looked for

    def of_this_camera() -> list[PersonKeypointsArray]:
        return [result for result in camera.results if stamp_to_ns(result.header.stamp) in sent]

    with streaming(camera, image, rate_hz) as sent:
        listener.spin_until(lambda: len(of_this_camera()) >= 4, "4 results")
    results = of_this_camera()
    stamps = [stamp_to_ns(result.header.stamp) for result in results]
    assert stamps == sorted(set(stamps))
    assert {(result.image_height, result.image_width) for result in results} == {image.shape[:2]}
    assert all(len(result.people) == 1 for result in results)
    for (a, b), (before, after) in zip(pairwise(stamps), pairwise(results), strict=True):
        if b - a <= 1_000_000_000:  # not a gap, as on a machine that takes longer for one image
            assert before.people[0].id == after.people[0].id


def test_two_cameras_with_a_node_each_do_not_get_into_each_other(listener):
    spaces = ("/left", "/right")
    given = {**ANY_AGE, "weights": "", "flow": "off"}
    with NodeProcess("pose_node", "/left", **given), NodeProcess("pose_node", "/right", **given):
        left, right = (Camera(listener, space) for space in spaces)
        left.connect()
        right.connect()
        right.stamp_ns = left.stamp_ns + FRAME_NS // 2
        sent: dict[str, set[int]] = {space: set() for space in spaces}

        def message() -> Image:
            """Of the left camera, in which there is somebody; nobody is in the right one's at the same time."""
            right.stamp_ns += FRAME_NS
            right.send(rgb_to_image(NOBODY, right.header()))
            sent["/left"].add(left.stamp_ns)
            sent["/right"].add(right.stamp_ns)
            return rgb_to_image(TRUTH.image, left.header())

        left.send_until(
            message,
            lambda: len(right.results) >= 5 and sum(bool(result.people) for result in left.results) >= 5,
            "results of both",
        )
    for camera in (left, right):
        assert {stamp_to_ns(result.header.stamp) for result in camera.results} <= sent[camera.namespace]
    assert not any(result.people for result in right.results)


def test_compressed_images(listener):
    with NodeProcess("pose_node", "/compressed", image_transport="compressed", flow="off", weights=""):
        camera = Camera(listener, "/compressed", compressed=True)
        camera.connect()
        camera.send_until(
            lambda: rgb_to_compressed(TRUTH.image, camera.header()),
            lambda: any(result.people for result in camera.results),
            "a person in a compressed image",
        )
        broken = CompressedImage(format="jpeg", data=b"broken")
        cause = "undecodable compressed image"
        camera.send_until(lambda: broken, lambda: camera.value(f"dropped: {cause}"), "a broken JPEG is counted")


def test_a_node_that_does_not_start_by_itself_says_so_and_can_be_led_through_its_states(listener):
    with NodeProcess("pose_node", "/led", autostart=False, weights="") as node:
        camera = Camera(listener, "/led")
        listener.spin_until(lambda: camera.status() and "unconfigured" in camera.status().message, "a warning")
        assert camera.status().level == DiagnosticStatus.WARN

        for _ in range(2):
            assert change_state(camera, Transition.TRANSITION_CONFIGURE)
            assert change_state(camera, Transition.TRANSITION_ACTIVATE)
            camera.connect()
            camera.results.clear()
            camera.send_image_until(TRUTH.image, lambda: camera.results, "a result")
            assert change_state(camera, Transition.TRANSITION_DEACTIVATE)
            assert change_state(camera, Transition.TRANSITION_CLEANUP)
            listener.spin_until(lambda: camera.images.get_subscription_count() == 0, "the subscription is closed")
        assert call(camera, GetState, "get_state", GetState.Request()).current_state.label == "unconfigured"
        assert node.stop() == 0


def test_people_are_lifted_while_somebody_wants_skeletons(listener, weights):
    with NodeProcess("pose_node", "/lifting", weights=str(weights), window=WINDOW, publish_tf=False, flow="off"):
        camera = Camera(listener, "/lifting")
        camera.connect()
        camera.send_image_until(TRUTH.image, lambda: camera.value("skeletons") is not None, "diagnostics of results")
        camera.send_image_until(TRUTH.image, lambda: camera.value("people") == "1", "somebody is followed")
        assert camera.value("skeletons") == "0"
        skeletons = listener.hear(SkeletonArray, "/lifting/skeletons")
        camera.send_image_until(
            TRUTH.image, lambda: any(message.skeletons for message in skeletons), "skeletons, now that they are wanted"
        )


def test_nobody_waits_for_a_depth_sensor_for_keypoints_alone(listener, weights):
    with NodeProcess("pose_node", "/unmeasured", **ANY_AGE, weights=weights, window=WINDOW, depth="sensor") as node:
        camera = Camera(listener, "/unmeasured")
        camera.connect()
        camera.send_image_until(TRUTH.image, lambda: len(camera.results) > 5 and camera.status(), "keypoints")
        assert "no depth" not in camera.status().message
        assert "lifting without" not in node.output()
        listener.hear(SkeletonArray, "/unmeasured/skeletons")
        camera.send_image_until(TRUTH.image, lambda: "lifting without" in node.output(), "that depth is missing")


def test_people_are_published_in_space_and_as_markers(camera):
    skeletons = camera.listener.hear(SkeletonArray, "/shared_pose_node/skeletons")
    markers = camera.listener.hear(MarkerArray, "/shared_pose_node/markers")

    def tracked() -> list[Skeleton]:
        newest = skeletons[-1].skeletons if skeletons else []
        return [skeleton for skeleton in newest if skeleton.tracking_state == Skeleton.TRACKING_TRACKED]

    camera.send_image_until(
        TRUTH.image,
        lambda: markers and tracked() and math.isfinite(tracked()[0].joints[3].velocity.x),
        "somebody in space, with a velocity",
    )
    (skeleton,) = tracked()
    assert skeleton.id.startswith("front_p")
    assert skeleton.scale_source == Skeleton.SCALE_LEARNED
    assert skeleton.roi.width > 0
    for joint in skeleton.joints[1:]:
        assert joint.state == Joint3D.STATE_MEASURED
        assert joint.position.z > 1.0
        assert joint.covariance[0] > 0
        assert joint.covariance[0] == joint.covariance[4] == joint.covariance[8]
    shown = {marker.ns for message in markers for marker in message.markers if marker.action == Marker.ADD}
    assert {f"{skeleton.id}/joints", f"{skeleton.id}/bones"} <= shown


def set_parameter(camera: Camera, name: str, value) -> SetParametersResult:
    """As ``ros2 param set``."""
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return camera.listener.ask(SetParameters, f"{camera.namespace}/pose_node/set_parameters", request).results[0]


def test_flow_is_turned_off_and_on_while_the_node_runs(camera):
    def people_and_flow() -> bool:
        return bool(camera.results and camera.results[-1].people and camera.value("flow_ms"))

    camera.send_image_until(TRUTH.image, people_and_flow, "somebody, and flow")
    ids = {person.id for person in camera.results[-1].people}
    assert set_parameter(camera, "flow", False).successful  # as ros2 param set reads off
    camera.send_image_until(
        TRUTH.image, lambda: camera.value("flow") == "off" and camera.value("flow_ms") is None, "no flow any more"
    )
    assert set_parameter(camera, "flow", "dis").successful
    camera.send_image_until(TRUTH.image, people_and_flow, "flow again")
    assert {person.id for person in camera.results[-1].people} == ids


def test_markers_stay_as_long_as_the_camera_may_be_silent(camera):
    markers = camera.listener.hear(MarkerArray, "/shared_pose_node/markers")
    for seconds in (5, 1):
        assert set_parameter(camera, "timeout", float(seconds)).successful
        markers.clear()
        camera.send_image_until(
            TRUTH.image,
            lambda seconds=seconds: markers and {marker.lifetime.sec for marker in markers[-1].markers} == {seconds},
            "markers of that lifetime",
        )
    assert set_parameter(camera, "timeout", 0.5).successful  # as the other tests have it


@pytest.mark.parametrize(("timeout", "max_rate", "lifetime"), [(1.0, 0.0, 1.0), (3.0, 10.0, 3.0), (1.0, 0.25, 8.0)])
def test_markers_outlive_the_time_between_two_results(timeout, max_rate, lifetime):
    assert marker_lifetime_s({"timeout": timeout, "max_rate": max_rate}) == lifetime


def test_fewer_images_are_worked_on_when_asked(camera):
    camera.send_image_until(TRUTH.image, lambda: camera.results, "results")
    assert set_parameter(camera, "max_rate", 10.0).successful
    camera.results.clear()
    camera.send_image_until(TRUTH.image, lambda: len(camera.results) > 8, "results")
    # Of 30 images a second of their clock, one of three that are a tenth of a second; which, nobody knows where some
    # were lost. The first two results may be of images that came before the change.
    tenths = [stamp_to_ns(message.header.stamp) // 100_000_000 for message in camera.results[2:]]
    assert len(set(tenths)) == len(tenths) > 6
    camera.send_image_until(TRUTH.image, lambda: camera.value("dropped: above max_rate"), "the drops are counted")
    assert set_parameter(camera, "max_rate", 0.0).successful


def test_images_without_a_frame_are_reported(camera, monkeypatch):
    camera.listener.hear(SkeletonArray, f"{camera.namespace}/skeletons")
    monkeypatch.setattr(camera, "header", lambda: Header(stamp=ns_to_stamp(camera.stamp_ns)))
    camera.send_image_until(
        TRUTH.image, lambda: camera.status() and "no frame_id" in camera.status().message, "the complaint"
    )
    monkeypatch.undo()
    camera.send_image_until(TRUTH.image, lambda: "no frame_id" not in camera.status().message, "all is well")


def writing_end(pipe: Path) -> int | None:
    """A descriptor to write to a named pipe, once somebody reads it."""
    with suppress(OSError):
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


def test_images_are_worked_on_while_a_network_loads(listener, tmp_path):
    file = tmp_path / "raft.pth"
    os.mkfifo(file)  # whoever reads it waits
    with NodeProcess("pose_node", "/loading", **ANY_AGE, weights="", flow_weights=file):
        camera = Camera(listener, "/loading")
        camera.connect()
        camera.send_image_until(TRUTH.image, lambda: camera.results and camera.results[-1].people, "somebody")
        ids = {person.id for person in camera.results[-1].people}
        client = listener.node.create_client(SetParameters, "/loading/pose_node/set_parameters")
        listener.spin_until(client.service_is_ready, "the service of parameters")
        change = Parameter("flow", value="raft_small").to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[change]))
        start_ns = camera.stamp_ns
        camera.send_image_until(TRUTH.image, lambda: camera.stamp_ns - start_ns > 2_000_000_000, "2 s of images")
        camera.results.clear()
        camera.send_image_until(TRUTH.image, lambda: len(camera.results) > 5, "results all the while")
        assert {person.id for result in camera.results for person in result.people} == ids
        assert not future.done()
        descriptor = listener.spin_until(lambda: writing_end(file), "somebody reads the file")
        with suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
            pipe.write(b"no network")  # it may be given up before it is read
        listener.spin_until(future.done, "an answer")
    (result,) = future.result().results
    assert not result.successful
    assert "raft.pth" in result.reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("flow", "magic", "expected one of dis"),
        ("depth", "magic", "expected one of off, sensor"),
        ("depth", 3, "got 3; expected one of off, sensor"),
        ("max_people", 0, "max_people"),
        ("window", 5, "read-only"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_the_reason(camera, name, value, reason):
    result = set_parameter(camera, name, value)
    assert not result.successful
    assert reason in result.reason
    camera.results.clear()
    camera.send_image_until(TRUTH.image, lambda: camera.results, "a result all the same")


def test_depth_with_a_quality_of_service_that_does_not_exist_is_refused(listener):
    override = "qos_overrides./crooked/depth.subscription.reliability"
    with NodeProcess("pose_node", "/crooked", **ANY_AGE, weights="", **{override: "besteffort"}):
        camera = Camera(listener, "/crooked")
        camera.connect()
        result = set_parameter(camera, "depth", "sensor")
        assert not result.successful
        assert "besteffort" in result.reason
        camera.send_image_until(TRUTH.image, lambda: camera.results, "a result all the same")


def test_a_depth_sensor_gives_the_scale_and_millimetres_called_metres_are_suspected(listener, weights):
    with NodeProcess("pose_node", "/measuring", **ANY_AGE, weights=weights, window=WINDOW):
        camera = Camera(listener, "/measuring")
        skeletons = listener.hear(SkeletonArray, "/measuring/skeletons")
        depths = listener.node.create_publisher(Image, "/measuring/depth", 1)
        camera.connect()
        assert set_parameter(camera, "depth", "sensor").successful
        listener.spin_until(lambda: depths.get_subscription_count() > 0, "pose_node subscribes to depth")
        info = camera_to_info(TRUTH.camera, Header())

        def send(encoding: str, dtype: str, scale: float):
            camera.infos.publish(info)
            values = np.round(scale * TRUTH.depth, 3).astype(dtype)
            header = camera.header()
            step = values.itemsize * values.shape[1]
            height, width = values.shape
            depths.publish(
                Image(header=header, encoding=encoding, width=width, height=height, step=step, data=values.tobytes())
            )
            return rgb_to_image(TRUTH.image, header)

        def measured(minimum: int):
            newest = skeletons[-1].skeletons if skeletons else []
            return [s for s in newest if s.scale_source == Skeleton.SCALE_DEPTH_SENSOR][minimum - 1 :]

        camera.send_until(lambda: send("16UC1", "<u2", 1e3), lambda: measured(1), "somebody measured in millimetres")
        (skeleton,) = measured(1)
        assert skeleton.joints[0].position.z == pytest.approx(TRUTH.joints[0, 0, 2], abs=0.2)
        assert not skeleton.intrinsics_assumed
        camera.send_until(
            lambda: send("32FC1", "<f4", 1e3),
            lambda: camera.status() and "look like millimetres" in camera.status().message,
            "the suspicion in the diagnostics",
        )
        assert camera.level() == DiagnosticStatus.WARN
        camera.send_until(
            lambda: send("32FC1", "<f4", 1.0), lambda: camera.level() == DiagnosticStatus.OK, "OK with metres"
        )


def test_keypoints_of_somebody_else_are_tracked_and_lifted(listener, weights):
    with NodeProcess("pose_node", "/external", **ANY_AGE, detector="external", weights=weights, window=WINDOW) as node:
        camera = Camera(listener, "/external")
        skeletons = listener.hear(SkeletonArray, "/external/skeletons", 100)
        theirs = listener.node.create_publisher(PersonKeypointsArray, "/external/external_keypoints", 5)
        camera.connect()
        listener.spin_until(theirs.get_subscription_count, "pose_node subscribes to external_keypoints")
        person = PersonKeypoints(TRUTH.keypoints[0], np.full(17, 0.8), "theirs")
        found_in: list[int] = []

        def send(late_ns: int = 0, off_ns: int = 0, size=TRUTH.camera):
            """An image, and the keypoints of an earlier one."""
            stamp_ns = camera.stamp_ns - late_ns
            found_in.append(stamp_ns)
            frame = Frame(stamp_ns + off_ns, "optical", np.zeros((size.height, size.width, 3), np.uint8), size)
            theirs.publish(keypoints_to_msg(frame, [person]))
            return rgb_to_image(TRUTH.image, camera.header())

        camera.send_until(lambda: send(late_ns=3 * FRAME_NS), lambda: len(skeletons) >= 3, "skeletons")
        for result in camera.results:
            assert stamp_to_ns(result.header.stamp) in found_in
            assert result.header.frame_id == "optical"
        (seen,) = keypoints_from_msg(camera.results[-1])
        assert seen.id.startswith("p")
        np.testing.assert_allclose(seen.xy, TRUTH.keypoints[0], atol=1e-3)
        ids = {person.id for result in camera.results for person in result.people}
        assert {skeleton.id for message in skeletons for skeleton in message.skeletons} <= ids
        assert {stamp_to_ns(m.header.stamp) for m in skeletons} <= set(found_in)
        assert camera.value("dropped: bad keypoints") is None

        before = int(camera.value("dropped: no image") or 0)
        camera.send_until(
            lambda: send(off_ns=1),
            lambda: int(camera.value("dropped: no image") or 0) > before,
            "keypoints with a stamp that no image has are counted",
        )
        assert "no image with the stamp of the keypoints" in node.output()
        half = TRUTH.camera.resized(160, 120)
        camera.send_until(lambda: send(size=half), lambda: camera.value("dropped: bad keypoints"), "another size")
        assert "expected keypoints in an image of 320x240, the camera's, got 160x120" in node.output()
        camera.results.clear()
        camera.send_until(send, lambda: camera.results, "results again")
        camera.send_until(
            lambda: rgb_to_image(TRUTH.image, camera.header()),
            lambda: camera.level() == DiagnosticStatus.STALE,
            "STALE without keypoints",
        )
        assert "no external_keypoints for" in camera.status().message


@pytest.fixture
def tf_type():
    return pytest.importorskip("tf2_msgs.msg", reason="TF: tf2_msgs is not on PyPI; it comes with ROS").TFMessage


def test_people_are_in_tf_as_they_are_in_skeletons(listener, weights, tf_type):
    with NodeProcess("pose_node", "/framing", weights=weights, window=WINDOW, tf_joints=True):
        camera = Camera(listener, "/framing")
        skeletons = listener.hear(SkeletonArray, "/framing/skeletons", 100)
        transforms = listener.hear(tf_type, "/tf", 100)
        camera.connect()

        def both():
            places = {stamp_to_ns(m.header.stamp): m.skeletons for m in skeletons if m.skeletons}
            frames = [t for m in transforms for t in m.transforms if "body_" in t.child_frame_id]
            return [(t, places[stamp]) for t in frames if (stamp := stamp_to_ns(t.header.stamp)) in places]

        camera.send_image_until(TRUTH.image, lambda: len(both()) > 17, "people in skeletons and in TF")
    for transform, people in both():
        assert transform.header.frame_id == "optical"
        _, name, *joint = transform.child_frame_id.split("_", 2)
        (person,) = (p for p in people if p.id == name)
        place = person.joints[JOINT_NAMES.index(joint[0]) if joint else 0].position
        t = transform.transform.translation
        assert (t.x, t.y, t.z) == pytest.approx((place.x, place.y, place.z), abs=1e-6)
    assert {t.child_frame_id for t, _ in both()} >= {"body_p1", "body_p1_left_knee"}


TF2_ROS = """
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3

class Buffer:
    def lookup_transform(self, target_frame, source_frame, time, timeout):
        if (target_frame, source_frame) != ("map", "optical"):
            raise LookupError(f"{source_frame} is not connected to {target_frame}")
        # The camera looks along x of the map, 1 m above its origin.
        turn = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
        return TransformStamped(transform=Transform(translation=Vector3(z=1.0), rotation=turn))

    def clear(self):
        pass

class TransformListener:
    def __init__(self, buffer, node):
        pass

    def unregister(self):
        pass
"""
"""What tf2_ros would know of one camera; for machines without it."""


@pytest.fixture
def tf2_ros(tmp_path, monkeypatch):
    if importlib.util.find_spec("tf2_ros"):
        pytest.skip("a stand-in for tf2_ros: the real one is here")
    (tmp_path / "tf2_ros.py").write_text(TF2_ROS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def test_skeletons_are_published_in_the_frame_asked_for(listener, weights, tf2_ros):
    given = {**ANY_AGE, "weights": weights, "window": WINDOW}
    with NodeProcess("pose_node", "/mapping", **given, target_frame="map"):
        camera = Camera(listener, "/mapping")
        skeletons = listener.hear(SkeletonArray, "/mapping/skeletons")
        camera.connect()

        def tracked() -> list[SkeletonArray]:
            state = Skeleton.TRACKING_TRACKED
            return [m for m in skeletons if m.skeletons and m.skeletons[0].tracking_state == state]

        message = camera.send_image_until(TRUTH.image, tracked, "people")[-1]
    assert message.header.frame_id == "map"
    # In the camera's frame z is the distance, x to the right and y down.
    pelvis = message.skeletons[0].joints[0].position
    right, down, distance = TRUTH.joints[0, 0]
    assert pelvis.x == pytest.approx(distance, rel=0.3)
    assert pelvis.y == pytest.approx(-right, abs=0.3)
    assert pelvis.z == pytest.approx(1.0 - down, abs=0.3)


def test_a_transform_that_is_not_known_keeps_skeletons_back_and_is_reported(listener, weights, tf2_ros):
    with NodeProcess("pose_node", "/lost", **ANY_AGE, weights=weights, window=WINDOW, target_frame="moon"):
        camera = Camera(listener, "/lost")
        skeletons = listener.hear(SkeletonArray, "/lost/skeletons")
        camera.connect()
        camera.send_image_until(
            TRUTH.image,
            lambda: camera.status() and "optical is not connected to moon" in camera.status().message,
            "the reason in the diagnostics",
        )
    assert not skeletons
    assert camera.results  # keypoints need no transform


@pytest.mark.skipif(importlib.util.find_spec("tf2_ros") is not None, reason="what happens without tf2_ros: it is here")
def test_without_tf2_ros_a_target_frame_cannot_be_configured(listener):
    with NodeProcess("pose_node", "/mapless", weights="", target_frame="map") as node:
        camera = Camera(listener, "/mapless")
        listener.spin_until(lambda: camera.level() == DiagnosticStatus.ERROR, "ERROR in the diagnostics")
        assert "install ros-$ROS_DISTRO-tf2-ros-py" in camera.status().message
        assert node.running


def test_depth_aligned_is_metres_of_the_image_while_somebody_subscribes(listener, weights):
    with NodeProcess("pose_node", "/aligning", **ANY_AGE, weights=weights, window=WINDOW, depth="sensor"):
        camera = Camera(listener, "/aligning")
        depths = listener.node.create_publisher(Image, "/aligning/depth", 1)
        aligned = listener.hear(Image, "/aligning/depth_aligned")
        camera.connect()
        measured = TRUTH.depth.astype("<f4")
        measured[:20] = 0.0  # not measured, as some drivers say it

        def send():
            depths.publish(depth_to_image(measured, camera.header()))
            return rgb_to_image(TRUTH.image, camera.header())

        camera.send_until(send, lambda: aligned, "an aligned depth image")
    message = aligned[-1]
    assert (message.encoding, message.header.frame_id) == ("32FC1", "optical")
    values = depth_from_image(message)
    assert np.isnan(values[:20]).all()
    known = np.isfinite(TRUTH.depth[20:])
    np.testing.assert_allclose(values[20:][known], TRUTH.depth[20:][known], rtol=1e-6)


def test_reset_gives_people_new_ids(camera):
    def newest_id():
        return camera.results[-1].people[0].id if camera.results and camera.results[-1].people else None

    camera.send_image_until(TRUTH.image, newest_id, "somebody")
    before = newest_id()
    assert call(camera, Trigger, "reset", Trigger.Request()).success
    camera.send_image_until(TRUTH.image, lambda: newest_id() not in (None, before), "a new id")


def test_simulated_time_ages_results_and_a_loop_starts_anew(listener):
    clock = listener.node.create_publisher(Clock, "/clock", 10)
    with NodeProcess("pose_node", "/simulated", weights="", use_sim_time=True):
        camera = Camera(listener, "/simulated")
        camera.connect()
        camera.stamp_ns = 100 * 10**9  # of a recording, long ago

        def send():
            clock.publish(Clock(clock=ns_to_stamp(camera.stamp_ns + 20_000_000)))
            return rgb_to_image(TRUTH.image, camera.header())

        def fresh():
            return camera.value("age_p50_ms") and abs(float(camera.value("age_p50_ms"))) < 200.0

        camera.send_until(send, lambda: fresh() and camera.results[-1].people, "fresh results by simulated time")
        first = camera.results[-1].people[0].id
        camera.stamp_ns = 100 * 10**9
        camera.send_until(
            send, lambda: camera.results[-1].people and camera.results[-1].people[0].id != first, "a new id in the loop"
        )


def resident_mb(process: NodeProcess) -> float:
    return psutil.Process(process.pid).memory_info().rss / 1e6


def test_memory_returns_after_rounds_of_configuring_and_cleaning_up(listener, weights):
    """Few rounds; benchmarks/lifecycle.py does twenty."""
    with NodeProcess("pose_node", "/rounds", autostart=False, **ANY_AGE, weights=weights, window=WINDOW) as node:
        camera = Camera(listener, "/rounds")
        skeletons = listener.hear(SkeletonArray, "/rounds/skeletons")  # whoever is not listened to does not lift
        listener.hear(MarkerArray, "/rounds/markers")
        levels = []
        for _ in range(4):
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                assert change_state(camera, transition)
            camera.connect()
            skeletons.clear()
            camera.send_image_until(TRUTH.image, lambda: len(skeletons) > 5, "results")
            for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
                assert change_state(camera, transition)
            levels.append(resident_mb(node))
    assert levels[-1] < 1.05 * levels[0], levels


def cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def test_with_torch_loaded_it_ends_at_once(listener, weights):
    """`ros2 launch` insists after 5 s, which are less than one on a busy machine. Where Python looks for garbage in all
    that torch has made, the end takes a quarter of what the start took, where it does not a tenth."""
    with NodeProcess("pose_node", "/ending", weights=weights, window=WINDOW) as node:
        Camera(listener, "/ending").connect()
        others = cpu_s(resource.getrusage(resource.RUSAGE_CHILDREN))
        start = sum(psutil.Process(node.pid).cpu_times()[:2])
        assert node.stop() == 0
    end = cpu_s(resource.getrusage(resource.RUSAGE_CHILDREN)) - others - start
    assert end < 0.17 * start


def shared_memory_of(node: NodeProcess) -> set[Path]:
    """Segments of Fast DDS that it maps: its own, and those of others it hears."""
    mapped = {Path(region.path) for region in psutil.Process(node.pid).memory_maps()}
    return {path for path in mapped if re.fullmatch(r"/dev/shm/fastdds_[0-9a-f]+", str(path))}


def test_its_shared_memory_ends_with_it(listener, weights):
    """Each start left megabytes behind in /dev/shm, until nothing else could run."""
    others = set(Path("/dev/shm").glob("fastdds_*"))
    with NodeProcess("pose_node", "/leaving", weights=weights, window=WINDOW) as node:
        Camera(listener, "/leaving").connect()
        own = shared_memory_of(node) - others
        if not own:
            pytest.skip("shared memory of a node: expected Fast DDS as the middleware")
        assert node.stop() == 0
    assert not [path for path in own if path.exists()]


def test_with_weights_skeletons_carry_the_stamp_of_the_image_that_they_are_about(listener, shared):
    weights = shared / "golden" / "posemamba_tiny_d32_n2_T9_official_layout.bin"
    with NodeProcess("pose_node", "/lifting", weights=weights, window=9, lookahead=2):
        camera = Camera(listener, "/lifting")
        skeletons = listener.hear(SkeletonArray, "/lifting/skeletons")
        camera.connect()
        camera.send_image_until(TRUTH.image, lambda: len(skeletons) >= 3 and len(camera.results) >= 5, "3 skeletons")
    stamps = [stamp_to_ns(result.header.stamp) for result in camera.results]
    for message in skeletons:
        assert stamp_to_ns(message.header.stamp) in stamps
        assert message.header.frame_id == "optical"
        assert tuple(message.joint_names) == JOINT_NAMES
        assert all(skeleton.scale_source == Skeleton.SCALE_BONE_PRIOR for skeleton in message.skeletons)
        assert all(skeleton.intrinsics_assumed for skeleton in message.skeletons)


def test_weights_that_are_not_there_leave_the_node_unconfigured_with_the_reason(listener, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with NodeProcess("pose_node", "/weightless", weights="posemamba-s") as node:
        camera = Camera(listener, "/weightless")
        listener.spin_until(lambda: camera.status() and "unconfigured" in camera.status().message, "a warning")
        assert "run `mambapose download posemamba-s`" in node.output()


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"detector": "magic"}, "expected one of mediapipe"),
        ({"flow": "magic"}, "expected one of dis"),
        ({"depth": "magic"}, "expected one of off, sensor"),
        ({"max_people": 0}, "1 to 32"),
        ({"image_transport": 3}, "image_transport"),
    ],
)
def test_wrong_parameters_are_refused_with_the_right_ones(parameters, expected):
    with NodeProcess("pose_node", "/refused", **parameters) as node:
        assert node.wait() == 1
        assert expected in node.output().strip().splitlines()[-1]


def test_a_depth_sensor_that_is_listened_to_no_more_can_be_turned_off(nodes_of_the_test):
    """As after a deactivation that had to be refused: the inputs are closed, and the node is active."""
    node = PoseNode(parameter_overrides=[Parameter("depth", value="sensor")])
    nodes_of_the_test.append(node)
    node.open_inputs()
    node.close_inputs()
    node._state = "active"
    node.parameters_changed({"depth": "off"})
    node._state = "unconfigured"
    assert not [s.topic_name for s in node.subscriptions if s.topic_name == "/depth"]
