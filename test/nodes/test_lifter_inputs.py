import numpy as np
import pytest
from mambapose_ros.msg import PersonKeypointsArray
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Header

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes.conversions import ns_to_stamp
from mambapose_ros.nodes.dense_maps import depth_to_image, flow_to_image
from mambapose_ros.nodes.lifter_inputs import JoinedMessages, LifterInputs

WIDTH, HEIGHT = 32, 24


def header(stamp_ns: int) -> Header:
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id="optical")


def keypoints(stamp_ns: int) -> PersonKeypointsArray:
    return PersonKeypointsArray(header=header(stamp_ns), image_width=WIDTH, image_height=HEIGHT)


def flow(stamp_ns: int, x: float, y: float, width: int = WIDTH, height: int = HEIGHT):
    return flow_to_image(np.full((height, width, 2), (x, y), np.float32), header(stamp_ns))


def since(stamp_ns: int, since_ns: int) -> TimeReference:
    return TimeReference(header=header(stamp_ns), time_ref=ns_to_stamp(since_ns))


def joining(*partners: str) -> tuple[LifterInputs, list[JoinedMessages]]:
    """Inputs whose clock stands still, and what they hand over."""
    given: list[JoinedMessages] = []
    return LifterInputs(partners, 0.1, given.append, clock=lambda: 0.0), given


@pytest.mark.parametrize("first", [0, 1])
def test_flow_waits_for_since_when_it_is_and_either_may_come_first(first):
    inputs, given = joining("flow")
    inputs.put_keypoints(keypoints(2))
    halves = [flow(2, 3.0, -1.0), since(2, 1)]
    inputs.put_flow(halves[first])
    assert not given
    inputs.put_flow(halves[1 - first])
    (messages,) = given
    assert messages.stamp_ns == 2
    np.testing.assert_array_equal(messages.flow_since(1), np.full((HEIGHT, WIDTH, 2), (3.0, -1.0)))
    assert messages.flow_since(0) is None
    assert messages.flow_since(None) is None


def test_flow_of_images_without_keypoints_is_chained():
    inputs, given = joining("flow")
    for stamp in range(1, 7):
        inputs.put_flow(since(stamp, stamp - 1))
        inputs.put_flow(flow(stamp, 0.5, 0.0))
    inputs.put_keypoints(keypoints(3))
    inputs.put_keypoints(keypoints(6))
    total = given[1].flow_since(3)
    np.testing.assert_allclose(total[:, 8:], np.broadcast_to((1.5, 0.0), total[:, 8:].shape), atol=1e-5)


def test_a_lost_flow_is_noticed():
    inputs, given = joining("flow")
    for stamp in (1, 3):
        inputs.put_flow(since(stamp, stamp - 1))
        inputs.put_flow(flow(stamp, 0.5, 0.0))
    for stamp in (1, 2, 3):
        inputs.put_keypoints(keypoints(stamp))
    assert [messages.flow_since(messages.stamp_ns - 1) is None for messages in given] == [False, True, False]
    assert given[2].flow_since(1) is None


def test_smaller_flow_is_scaled_to_the_image():
    inputs, given = joining("flow")
    inputs.put_flow(since(2, 1))
    inputs.put_flow(flow(2, 1.0, 2.0, WIDTH // 2, HEIGHT // 3))
    inputs.put_keypoints(keypoints(2))
    np.testing.assert_array_equal(given[0].flow_since(1), np.full((HEIGHT, WIDTH, 2), (2.0, 6.0)))


def test_an_image_without_flow_is_not_waited_for():
    inputs, given = joining("flow")
    inputs.put_keypoints(keypoints(2))
    inputs.put_flow(since(2, 2))
    inputs.put_flow(flow_to_image(None, header(2)))
    assert given[0].flow_since(1) is None
    assert not inputs.join.missing


def test_what_is_no_flow_is_refused():
    inputs, _ = joining("flow")
    inputs.put_flow(since(2, 1))
    with pytest.raises(ImageError, match="expected flow as 32FC2, got '32FC1'"):
        inputs.put_flow(depth_to_image(np.ones((4, 4)), header(2)))


def joined_depth(values: np.ndarray) -> JoinedMessages:
    inputs, given = joining("depth")
    inputs.put_keypoints(keypoints(2))
    inputs.put_depth(depth_to_image(values, header(2)))
    return given[0]


DEPTH = np.linspace(0.5, 9.0, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("estimator", "metric"),
    [
        ("sensor", True),
        ("depth_anything_v2_small", False),
        ("depth_anything_v2_metric_indoor_small", True),
        ("depth_anything_v2_metric_outdoor_small", True),
    ],
)
def test_depth_is_what_its_maker_means_by_it(estimator, metric):
    depth = joined_depth(DEPTH).depth_map(estimator)
    assert (depth.metric, depth.source) == (metric, estimator)
    np.testing.assert_array_equal(depth.values, DEPTH)


def test_smaller_depth_of_a_network_is_enlarged_without_inventing_values():
    small = DEPTH[::2, ::2]
    depth = joined_depth(small).depth_map("depth_anything_v2_small")
    np.testing.assert_array_equal(depth.values, small.repeat(2, axis=0).repeat(2, axis=1))


def test_depth_of_a_camera_must_be_registered_and_in_metres():
    with pytest.raises(ImageError, match="expected depth registered to the image, 32x24, got 16x12"):
        joined_depth(DEPTH[::2, ::2]).depth_map("sensor")
    with pytest.raises(ImageError, match="look like millimetres"):
        joined_depth(1000 * DEPTH).depth_map("sensor")


def test_without_depth_there_is_none():
    inputs, given = joining("flow")
    inputs.put_flow(since(2, 2))
    inputs.put_flow(flow_to_image(None, header(2)))
    inputs.put_keypoints(keypoints(2))
    assert given[0].depth_map("sensor") is None
