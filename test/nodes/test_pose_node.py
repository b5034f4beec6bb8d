import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mambapose_ros.msg import PersonKeypointsArray, Skeleton, SkeletonArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import NodeProcess
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mambapose_ros.nodes.conversions import (
    camera_to_info,
    image_to_rgb,
    keypoints_from_msg,
    ns_to_stamp,
    rgb_to_compressed,
    rgb_to_image,
    stamp_to_ns,
)
from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.synthetic import SyntheticScene

FRAME_NS = 33_333_333
SCENE = SyntheticScene(motion="idle", people=1, seed=0, width=320, height=240, fps=30.0)
TRUTH = SCENE.render(0)
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


@pytest.fixture(scope="module")
def pose_node():
    """One process for the tests that leave it running."""
    with NodeProcess("pose_node", "/shared_pose_node", timeout=0.5) as node:
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
    assert person.id.startswith("p")


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
    assert f"frame dropped (1 so far): {cause}: " in pose_node.output()
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

    for jump_ns in (0, -30_000_000_000, 60_000_000_000, -FRAME_NS):
        camera.stamp_ns += jump_ns
        camera.send_image_until(TRUTH.image, lambda: newest_id() not in {None, *seen}, f"a new id after {jump_ns} ns")
        seen.add(newest_id())
    assert len(seen) == 4


def test_a_silent_camera_is_reported_and_recovered_from(camera):
    camera.send_image_until(TRUTH.image, lambda: camera.results, "a result")
    camera.listener.spin_until(lambda: camera.level() == DiagnosticStatus.STALE, "STALE without images")
    assert "no image for" in camera.status().message
    camera.send_image_until(
        TRUTH.image, lambda: camera.level() != DiagnosticStatus.STALE, "recovery when images come again"
    )


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


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_cameras_of_either_reliability_connect(listener, pose_node, reliability):
    camera = Camera(listener, "/shared_pose_node", reliability)
    camera.send_image_until(TRUTH.image, lambda: camera.results, "a result")


def test_compressed_images(listener):
    with NodeProcess("pose_node", "/compressed", image_transport="compressed", flow="off"):
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
    with NodeProcess("pose_node", "/led", autostart=False) as node:
        camera = Camera(listener, "/led")
        listener.spin_until(lambda: camera.status() and "unconfigured" in camera.status().message, "a warning")
        assert camera.status().level == DiagnosticStatus.WARN

        def call(service_type, name, request):
            client = listener.node.create_client(service_type, f"/led/pose_node/{name}")
            listener.spin_until(client.service_is_ready, f"service {name}")
            future = client.call_async(request)
            listener.spin_until(future.done, f"an answer of {name}")
            return future.result()

        def change(transition: int) -> bool:
            return call(ChangeState, "change_state", ChangeState.Request(transition=Transition(id=transition))).success

        for _ in range(2):
            assert change(Transition.TRANSITION_CONFIGURE)
            assert change(Transition.TRANSITION_ACTIVATE)
            camera.connect()
            camera.results.clear()
            camera.send_image_until(TRUTH.image, lambda: camera.results, "a result")
            assert change(Transition.TRANSITION_DEACTIVATE)
            assert change(Transition.TRANSITION_CLEANUP)
            listener.spin_until(lambda: camera.images.get_subscription_count() == 0, "the subscription is closed")
        assert call(GetState, "get_state", GetState.Request()).current_state.label == "unconfigured"
        assert node.stop() == 0


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
        ({"flow": "magic"}, "expected one of dis, off"),
        ({"max_people": 0}, "1 to 32"),
        ({"image_transport": 3}, "image_transport"),
    ],
)
def test_wrong_parameters_are_refused_with_the_right_ones(parameters, expected):
    with NodeProcess("pose_node", "/refused", **parameters) as node:
        assert node.wait() == 1
        assert expected in node.output().strip().splitlines()[-1]
