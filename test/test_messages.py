import math

import numpy as np
import pytest
from bag_samples import FRAME, TYPES, random_skeletons

from mambapose_ros.geometry import CameraError
from mambapose_ros.messages import camera_from_info, is_rectified, keypoints_message, skeletons_message
from mambapose_ros.types import TRACKING_STATES, PersonKeypoints


def test_fields_of_skeletons():
    plain, rich = random_skeletons(np.random.default_rng(3))
    message = skeletons_message(TYPES, FRAME, (plain, rich))
    first, second = message.skeletons
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (12, 345_678_901, "cam")
    assert message.parents.dtype == np.int8
    assert (first.tracking_state, second.tracking_state) == (first.TRACKING_TRACKED, first.TRACKING_PREDICTED)
    assert (first.scale_source, second.scale_source) == (first.SCALE_BONE_PRIOR, first.SCALE_DEPTH_SENSOR)
    assert {joint.state for joint in first.joints} == {TYPES.Joint3D.STATE_MEASURED}
    assert second.joints[2].state == TYPES.Joint3D.STATE_INFERRED
    assert second.joints[3].state == TYPES.Joint3D.STATE_MISSING
    assert all(joint.covariance[0] == -1 and math.isnan(joint.velocity.x) for joint in first.joints)
    np.testing.assert_array_equal(second.joints[5].covariance.reshape(3, 3), rich.covariance[5].astype(np.float32))
    assert second.joints[3].covariance[0] == -1
    assert second.joints[5].velocity.z == rich.velocity[5, 2]


def test_states_of_skeletons_are_numbered_as_in_the_message():
    assert [getattr(TYPES.Skeleton, f"TRACKING_{state.upper()}") for state in TRACKING_STATES] == [0, 1, 2, 3]


def test_regions_end_at_the_border_of_the_image():
    xy = np.full((17, 2), 20.0)
    xy[0], xy[1] = (-5.5, 10.2), (70.0, 40.7)
    (person,) = keypoints_message(TYPES, FRAME, [PersonKeypoints(xy, np.ones(17))]).people
    roi = person.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 10, 64, 32)
    (nobody,) = keypoints_message(TYPES, FRAME, [PersonKeypoints(xy + 500, np.ones(17))]).people
    assert nobody.roi.width == 0


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/image_raw", False),
        ("/camera/image_rect", True),
        ("/camera/rgb/image_rect_color/compressed", True),
        ("image_rect", True),
        ("/rect/image_raw", False),
        ("/camera/direct_image", False),
    ],
)
def test_rectified_images_are_told_by_their_topic(topic, rectified):
    assert is_rectified(topic) == rectified


def test_rectified_images_are_described_by_p_and_raw_ones_by_k_and_d():
    """One camera_info is published beside both."""
    info = TYPES.CameraInfo(
        width=640,
        height=480,
        distortion_model="plumb_bob",
        d=np.array([-0.35, 0.1, 0.0, 0.0, 0.0]),
        k=np.array([500.0, 0.0, 319.0, 0.0, 501.0, 239.0, 0.0, 0.0, 1.0]),
        p=np.array([420.0, 0.0, 321.0, -42.0, 0.0, 430.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
    )
    raw, rectified = camera_from_info(info), camera_from_info(info, rectified=True)
    assert (raw.K[0, 0], raw.D[0]) == (500.0, -0.35)
    np.testing.assert_array_equal(rectified.K, [[420.0, 0.0, 321.0], [0.0, 430.0, 241.0], [0.0, 0.0, 1.0]])
    assert not rectified.has_distortion
    info.p = np.zeros(12)
    with pytest.raises(CameraError, match="P is all zero"):
        camera_from_info(info, rectified=True)
