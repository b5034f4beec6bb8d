from itertools import pairwise

import cv2
import numpy as np
import pytest
from mambapose_ros.msg import PersonKeypointsArray, Skeleton, SkeletonArray
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from ros_harness import NodeProcess
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mambapose_ros.nodes.conversions import compressed_to_rgb, image_to_rgb, keypoints_from_msg, stamp_to_ns
from mambapose_ros.nodes.source_node import playback_step
from mambapose_ros.synthetic import SyntheticScene

PERIOD_MS = 1e3 / 30


def stamps(messages) -> list[int]:
    return [stamp_to_ns(message.header.stamp) for message in messages]


def test_synthetic_images_and_their_truth_share_stamps_and_agree(listener):
    images = listener.hear(Image, "/cam/image", qos_profile_sensor_data)
    infos = listener.hear(CameraInfo, "/cam/camera_info", qos_profile_sensor_data)
    skeletons = listener.hear(SkeletonArray, "/cam/ground_truth/skeletons")
    keypoints = listener.hear(PersonKeypointsArray, "/cam/ground_truth/keypoints")
    with NodeProcess("source_node", "/cam", source="synthetic:wave", seed=4, frame_id="optical", width=320, height=240):
        shared_stamps = listener.spin_until(
            lambda: set.intersection(*map(set, map(stamps, (images, infos, skeletons, keypoints)))),
            "messages of all kinds with the same stamp",
        )

    image, truth, seen = (
        next(message for message in messages if stamp_to_ns(message.header.stamp) in shared_stamps)
        for messages in (images, skeletons, keypoints)
    )
    people = keypoints_from_msg(seen)
    assert image.header.frame_id == truth.header.frame_id == "optical"
    assert image.header.stamp == truth.header.stamp == seen.header.stamp
    assert truth.skeletons[0].scale_source == Skeleton.SCALE_GROUND_TRUTH

    # The image is the one that the scene renders at that time, and the truth projects onto its keypoints.
    joints = np.array([[joint.position.x, joint.position.y, joint.position.z] for joint in truth.skeletons[0].joints])
    K = infos[0].k.reshape(3, 3)
    projected = joints[:, :2] / joints[:, 2:] * (K[0, 0], K[1, 1]) + K[:2, 2]
    np.testing.assert_allclose(projected, people[0].xy, atol=0.01)
    scene = SyntheticScene(motion="wave", people=1, seed=4, width=320, height=240, fps=30.0)
    errors = [np.abs(scene.render(i).keypoints[0] - people[0].xy).max() for i in range(1300)]  # 43 s
    np.testing.assert_array_equal(image_to_rgb(image), scene.render(int(np.argmin(errors))).image)


def test_images_keep_their_rate(listener):
    images = listener.hear(Image, "/cam/image", qos_profile_sensor_data)
    with NodeProcess("source_node", "/cam", source="synthetic:idle", rate=10.0, width=160, height=120):
        listener.spin_until(lambda: len(images) >= 12, "12 images")
    # Stamps are the moments that images are due, so one period apart unless the machine was too slow for a while.
    assert np.median(np.diff(stamps(images))) * 1e-6 == pytest.approx(100.0, abs=0.01)


def test_the_rate_changes_while_it_runs(listener):
    images = listener.hear(Image, "/cam/image", qos_profile_sensor_data)

    def latest_period_ms() -> float:
        return float(np.median(np.diff(stamps(images[-6:])))) * 1e-6

    with NodeProcess("source_node", "/cam", source="synthetic:idle", rate=10.0, width=160, height=120):
        listener.spin_until(lambda: len(images) >= 6, "6 images")

        def change(value: object) -> SetParametersResult:
            request = SetParameters.Request(parameters=[Parameter("rate", value=value).to_parameter_msg()])
            return listener.ask(SetParameters, "/cam/source_node/set_parameters", request).results[0]

        assert change(25).successful  # as `ros2 param set` reads it
        listener.spin_until(lambda: latest_period_ms() == pytest.approx(40.0, abs=0.01), "25 images per second")
        refused = change("fast")
        assert not refused.successful
        assert "0.0 to 240.0" in refused.reason
        assert change(0.0).successful  # its own: what it was made for
        listener.spin_until(lambda: latest_period_ms() == pytest.approx(100.0, abs=0.01), "10 images per second")


def test_playback_keeps_the_times_of_the_file():
    times = [0, 30_000_000, 100_000_000, 140_000_000]  # a phone's video, of 25 images per second on average
    steps = [playback_step(before, after, 25.0, 25.0) for before, after in pairwise(times)]
    assert steps == [30_000_000, 70_000_000, 40_000_000]
    assert playback_step(0, 30_000_000, 25.0, 50.0) == 15_000_000  # twice as fast
    assert playback_step(140_000_000, 0, 25.0, 50.0) == 20_000_000  # from the end to the beginning


def test_pictures_once_then_the_end(listener, tmp_path):
    values = list(range(0, 240, 20))
    for i, value in enumerate(values):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((24, 32, 3), value, np.uint8))
    images = listener.hear(Image, "/cam/image", qos_profile_sensor_data)
    infos = listener.hear(CameraInfo, "/cam/camera_info", qos_profile_sensor_data)
    with NodeProcess("source_node", "/cam", source=tmp_path, rate=1.0, loop=False) as node:
        listener.spin_until(lambda: images and infos and "ended" in node.output(), "images, camera_info and the end")
        assert node.stop() == 0
    seen = [int(image_to_rgb(image)[0, 0, 0]) for image in images]
    assert seen == values[-len(seen) :]  # those before the subscription was made are not heard
    assert not any(infos[0].k)  # nobody calibrated this camera, and it says so
    assert (infos[0].width, infos[0].height) == (32, 24)


def test_a_calibration_file_is_published(listener, tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((24, 32, 3), np.uint8))
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "image_width: 64\nimage_height: 48\ncamera_matrix: {data: [40, 0, 31.5, 0, 40, 23.5, 0, 0, 1]}\n"
        "distortion_model: plumb_bob\ndistortion_coefficients: {data: [0.1, 0, 0, 0, 0]}\n"
    )
    infos = listener.hear(CameraInfo, "/cam/camera_info", qos_profile_sensor_data)
    with NodeProcess("source_node", "/cam", source=tmp_path, camera_info_file=calibration):
        listener.spin_until(lambda: infos, "camera_info")
    assert infos[0].k[0] == pytest.approx(20.0)  # half the size, half the focal length
    assert list(infos[0].d) == [0.1, 0, 0, 0, 0]


def test_compressed_images_on_demand(listener):
    compressed = listener.hear(CompressedImage, "/cam/image/compressed", qos_profile_sensor_data)
    with NodeProcess("source_node", "/cam", source="synthetic:idle", width=160, height=120):
        listener.spin_until(lambda: compressed, "a compressed image")
    assert compressed_to_rgb(compressed[0]).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"source": "nowhere.mp4"}, "expected a video file"),
        ({"source": "synthetic:fly"}, "expected"),
        ({"rate": -1.0}, "0.0 to 240.0"),
        ({"people": 9}, "1 to 4"),
        ({"rate": "fast"}, "expected a value of type double"),
        ({"width": 2.5}, "expected a value of type integer"),
        ({"loop": 1}, "expected a value of type bool"),
        ({"camera_info_file": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_a_node_that_cannot_start_says_why_in_a_line(parameters, expected):
    with NodeProcess("source_node", "/cam", **parameters) as node:
        assert node.wait() == 1
        last = node.output().strip().splitlines()[-1]
    assert last.startswith("SourceNode: ")
    assert expected in last


def test_numbers_may_be_written_as_integers(listener):
    images = listener.hear(Image, "/cam/image", qos_profile_sensor_data)
    with NodeProcess("source_node", "/cam", source="synthetic:idle", rate=5, width=160, height=120):
        listener.spin_until(lambda: len(images) >= 3, "3 images")
    assert np.median(np.diff(stamps(images))) * 1e-6 == pytest.approx(200.0, abs=0.01)


def test_a_source_that_vanishes_ends_the_node_with_the_reason(tmp_path):
    video = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (64, 48))
    for _ in range(60):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    with NodeProcess("source_node", "/cam", source=video) as node:
        while "reading" not in node.output():
            assert node.running
        video.unlink()
        assert node.wait() == 1
        assert "was it moved?" in node.output()


def test_a_broken_picture_ends_the_node_with_its_name(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((24, 32, 3), np.uint8))
    (tmp_path / "1.png").write_bytes(b"broken")
    with NodeProcess("source_node", "/cam", source=tmp_path) as node:
        assert node.wait() == 1
        assert "1.png" in node.output()
