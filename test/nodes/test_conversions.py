import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mambapose_ros.msg import Joint3D, Skeleton
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.image_encoding import ENCODINGS, ImageError, decode_image
from mambapose_ros.messages import camera_from_info
from mambapose_ros.nodes import conversions
from mambapose_ros.nodes.conversions import (
    camera_to_info,
    compressed_to_rgb,
    depth_to_metres,
    frame_header,
    image_to_rgb,
    keypoints_from_msg,
    keypoints_to_msg,
    ns_to_stamp,
    rgb_to_compressed,
    rgb_to_image,
    skeletons_to_msg,
    stamp_to_ns,
)
from mambapose_ros.skeleton import COCO_NAMES, JOINT_INDEX, JOINT_NAMES, PARENTS
from mambapose_ros.sources import open_source
from mambapose_ros.types import Frame, PersonKeypoints, Skeleton3D

CAMERA = Camera(64, 48, [[50, 0, 32], [0, 51, 24], [0, 0, 1]], "rational_polynomial", np.linspace(0.01, 0.08, 8))
FRAME = Frame(12_345_678_901, "cam", np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8), CAMERA)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_survive_the_round_trip(ns):
    assert stamp_to_ns(ns_to_stamp(ns)) == ns


def test_images_survive_the_round_trip():
    message = rgb_to_image(FRAME.image, frame_header(FRAME))
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 345_678_901)
    assert message.header.frame_id == "cam"
    np.testing.assert_array_equal(image_to_rgb(message), FRAME.image)


def test_compressed_images_survive_but_for_the_codec():
    (source_frame,) = itertools.islice(open_source("synthetic"), 1)
    image = source_frame.frame.image
    message = rgb_to_compressed(image, Header())
    assert len(message.data) < image.size / 5
    assert np.abs(compressed_to_rgb(message).astype(int) - image).mean() < 4


@given(st.sampled_from(sorted(ENCODINGS)), st.booleans(), st.integers(0, 5), st.integers(0, 99))
def test_messages_of_every_encoding_give_the_pixels_of_decode_image(encoding, is_bigendian, padding, seed):
    layout = ENCODINGS[encoding]
    step = 8 * layout.channels * np.dtype(layout.dtype).itemsize + padding
    data = np.random.default_rng(seed).integers(0, 256, 6 * step, dtype=np.uint8).tobytes()
    message = Image(encoding=encoding, width=8, height=6, step=step, is_bigendian=is_bigendian)
    message.data.frombytes(data)
    expected = decode_image(data, encoding=encoding, width=8, height=6, step=step, is_bigendian=is_bigendian)
    np.testing.assert_array_equal(image_to_rgb(message), expected)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [0, 24, 1])
def test_cv_bridge_gives_the_same_pixels(encoding, padding):
    if conversions._cv_bridge() is None:
        pytest.skip("cv_bridge: source a ROS 2 installation that has it")
    layout = ENCODINGS[encoding]
    step = 64 * layout.channels * np.dtype(layout.dtype).itemsize + padding
    for is_bigendian in (False, True):
        message = Image(encoding=encoding, width=64, height=48, step=step, is_bigendian=is_bigendian)
        message.data.frombytes(np.random.default_rng(0).integers(0, 256, 48 * step, dtype=np.uint8).tobytes())
        np.testing.assert_array_equal(image_to_rgb(message), conversions._decode(message))


def test_an_empty_message_is_refused():
    with pytest.raises(ImageError):
        image_to_rgb(Image())


def test_cameras_survive_the_round_trip():
    assert camera_from_info(camera_to_info(CAMERA, Header())) == CAMERA


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_cameras_without_coefficients_survive_too(model):
    camera = Camera(64, 48, CAMERA.K, model)
    sent = camera_from_info(camera_to_info(camera, Header()))
    np.testing.assert_allclose(sent.project(np.array([0.3, 0.2, 1.0])), camera.project(np.array([0.3, 0.2, 1.0])))


def test_an_uncalibrated_camera_is_told_from_a_calibrated_one():
    with pytest.raises(CameraError, match="all zero"):
        camera_from_info(CameraInfo(width=64, height=48))


def people() -> list[PersonKeypoints]:
    xy = np.random.default_rng(1).uniform(-10, 70, (17, 2)).astype(np.float32).astype(float)
    confidence = np.linspace(0, 1, 17).astype(np.float32).astype(float)
    xy[4], confidence[4] = np.nan, 0.0
    return [PersonKeypoints(xy, confidence, "p7")]


def test_keypoints_survive_the_round_trip():
    message = keypoints_to_msg(FRAME, people())
    assert message.header == frame_header(FRAME)
    assert (message.image_width, message.image_height) == (64, 48)
    (person,) = keypoints_from_msg(message)
    np.testing.assert_array_equal(person.xy, people()[0].xy)
    np.testing.assert_array_equal(person.confidence, people()[0].confidence)
    assert person.id == "p7"


def test_keypoints_that_are_no_numbers_are_missing():
    message = keypoints_to_msg(FRAME, people())
    points = message.people[0].keypoints
    points[1].x, points[2].confidence, points[3].y, points[5].confidence = math.inf, math.nan, math.nan, 1e6
    (person,) = keypoints_from_msg(message)
    assert np.flatnonzero(np.isnan(person.xy).any(axis=1)).tolist() == [1, 2, 3, 4]
    assert (person.confidence[1:5] == 0.0).all()
    assert person.confidence[5] == 1.0


def test_keypoints_of_coco_become_those_of_human36m():
    message = keypoints_to_msg(FRAME, people())
    message.joint_names = list(COCO_NAMES)
    (person,) = keypoints_from_msg(message)
    landmarks = np.array([(point.x, point.y) for point in message.people[0].keypoints])
    for name in ("left_ankle", "right_wrist"):
        np.testing.assert_array_equal(person.xy[JOINT_INDEX[name]], landmarks[COCO_NAMES.index(name)])
    # The fifth, which is missing, is the right ear, of which head and thorax are made; the pelvis is not.
    assert np.isnan(person.xy[[JOINT_INDEX["head"], JOINT_INDEX["thorax"]]]).all()
    assert np.isfinite(person.xy[JOINT_INDEX["pelvis"]]).all()


def test_keypoints_of_other_joints_are_refused():
    message = keypoints_to_msg(FRAME, people())
    message.joint_names = ["nose"]
    with pytest.raises(ValueError, match="pelvis"):
        keypoints_from_msg(message)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (((10.2, 5.0), (20.7, 30.1)), (10, 5, 12, 27)),
        (((-30.0, -5.0), (20.0, 30.0)), (0, 0, 21, 31)),
        (((50.0, 40.0), (900.0, 900.0)), (50, 40, 14, 8)),
        (((100.0, 100.0), (120.0, 120.0)), (0, 0, 0, 0)),
        (((np.nan, np.nan), (np.nan, np.nan)), (0, 0, 0, 0)),
    ],
)
def test_regions_are_cut_at_the_border_of_the_image(corners, expected):
    xy = np.full((17, 2), np.nan)
    xy[[0, 1]] = corners
    roi = keypoints_to_msg(FRAME, [PersonKeypoints(xy, np.ones(17))]).people[0].roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == expected


def test_skeletons_describe_themselves():
    joints = np.arange(51.0).reshape(17, 3)
    joints[3] = np.nan
    confidence = np.full(17, 0.5)
    confidence[2] = 0.0
    skeleton = Skeleton3D("p7", joints, confidence, "bone_prior")
    message = skeletons_to_msg(FRAME, [skeleton], people())
    assert message.header == frame_header(FRAME)
    assert tuple(message.joint_names) == JOINT_NAMES
    assert tuple(message.parents) == PARENTS
    (sent,) = message.skeletons
    assert sent.id == "p7"
    assert sent.scale_source == Skeleton.SCALE_BONE_PRIOR
    assert not sent.intrinsics_assumed
    assert sent.roi.width > 0
    assert (sent.joints[1].position.x, sent.joints[1].position.z) == (3.0, 5.0)
    assert sent.joints[1].state == Joint3D.STATE_MEASURED
    assert sent.joints[2].state == Joint3D.STATE_INFERRED
    assert sent.joints[3].state == Joint3D.STATE_MISSING
    assert np.isnan(sent.joints[3].position.y)
    assert sent.joints[1].covariance[0] == -1
    assert np.isnan(sent.joints[1].velocity.x)
    assert sent.tracking_state == Skeleton.TRACKING_TRACKED


def test_skeletons_carry_velocity_covariance_and_state():
    velocity, covariance = np.arange(51.0).reshape(17, 3), np.arange(153.0).reshape(17, 3, 3)
    covariance[4] = np.nan
    skeleton = Skeleton3D("p7", np.ones((17, 3)), np.ones(17), "learned", covariance, velocity, "predicted")
    (sent,) = skeletons_to_msg(FRAME, [skeleton]).skeletons
    assert sent.tracking_state == Skeleton.TRACKING_PREDICTED
    assert sent.scale_source == Skeleton.SCALE_LEARNED
    assert (sent.joints[2].velocity.x, sent.joints[2].velocity.y, sent.joints[2].velocity.z) == (6.0, 7.0, 8.0)
    assert sent.joints[2].covariance.tolist() == list(range(18, 27))
    assert sent.joints[4].covariance[0] == -1


def test_people_who_are_lost_are_in_no_image():
    lost = PersonKeypoints(np.full((17, 2), np.nan), np.zeros(17), "p1", "lost")
    assert [person.id for person in keypoints_to_msg(FRAME, [lost, *people()]).people] == ["p7"]
    gone = Skeleton3D("p1", np.full((17, 3), np.nan), np.zeros(17), "none", state="lost")
    (sent,) = skeletons_to_msg(FRAME, [gone], [lost]).skeletons
    assert sent.tracking_state == Skeleton.TRACKING_LOST
    assert {joint.state for joint in sent.joints} == {Joint3D.STATE_MISSING}


@given(st.sampled_from(["16UC1", "32FC1"]), st.booleans(), st.integers(0, 5), st.integers(0, 99))
def test_depth_of_either_encoding_is_metres(encoding, is_bigendian, padding, seed):
    rng = np.random.default_rng(seed)
    millimetres = rng.integers(0, 65_536, (5, 7))
    millimetres[0, :3] = 0
    metres = np.where(millimetres > 0, millimetres * 1e-3, np.nan)
    stored = millimetres.astype("u2") if encoding == "16UC1" else metres.astype("f4")
    rows = stored.astype(stored.dtype.newbyteorder(">" if is_bigendian else "<")).view(np.uint8).reshape(5, -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=255).tobytes()
    message = Image(
        encoding=encoding, width=7, height=5, step=rows.shape[1] + padding, is_bigendian=is_bigendian, data=data
    )
    np.testing.assert_allclose(depth_to_metres(message), metres, rtol=1e-6)


def test_what_is_no_distance_is_no_measurement():
    values = np.array([[0.0, -1.0, np.inf, -np.inf, np.nan, 2.5]], "<f4")
    depth = depth_to_metres(Image(encoding="32FC1", width=6, height=1, step=24, data=values.tobytes()))
    np.testing.assert_array_equal(depth, [[np.nan] * 5 + [2.5]])


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (Image(encoding="rgb8", width=2, height=1, step=6, data=bytes(6)), "unknown encoding: .*16UC1.*32FC1.*'rgb8'"),
        (Image(encoding="16UC1"), "empty image"),
        (Image(encoding="16UC1", width=2, height=2, step=3, data=bytes(6)), "wrong step: .* 4 bytes .* got 3"),
        (Image(encoding="32FC1", width=2, height=2, step=8, data=bytes(15)), "truncated data: .* 16 bytes, got 15"),
    ],
)
def test_what_is_no_depth_image_is_refused(message, cause):
    with pytest.raises(ImageError, match=cause):
        depth_to_metres(message)
