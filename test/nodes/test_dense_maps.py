import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes.conversions import depth_to_metres
from mambapose_ros.nodes.dense_maps import depth_from_image, depth_to_image, flow_from_image, flow_to_image

HEADER = Header(frame_id="optical")


def numbers(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0.0, 5.0, (height, width, channels)).astype(np.float32)
    values[0, 0] = np.nan
    return values


sizes = st.integers(1, 9)


@given(sizes, sizes, st.integers(0, 99))
def test_flow_survives_the_round_trip_bit_by_bit(height, width, seed):
    flow = numbers(height, width, 2, seed)
    message = flow_to_image(flow, HEADER)
    assert (message.encoding, message.height, message.width, message.step) == ("32FC2", height, width, 8 * width)
    assert message.header.frame_id == "optical"
    np.testing.assert_array_equal(flow_from_image(message), flow)


@given(sizes, sizes, st.integers(0, 99))
def test_depth_survives_the_round_trip_bit_by_bit(height, width, seed):
    depth = numbers(height, width, 1, seed)[..., 0]
    message = depth_to_image(depth, HEADER)
    assert (message.encoding, message.step, len(message.data)) == ("32FC1", 4 * width, 4 * width * height)
    np.testing.assert_array_equal(depth_from_image(message), depth)
    # As everybody else reads it (REP-118).
    np.testing.assert_array_equal(depth_to_metres(message), np.where(depth > 0, depth, np.nan))


def test_no_flow_is_a_message_too():
    message = flow_to_image(None, HEADER)
    assert (message.encoding, message.height, message.width) == ("32FC2", 0, 0)
    assert flow_from_image(message) is None


@given(sizes, sizes, st.integers(0, 9), st.booleans())
def test_padded_rows_and_either_byte_order_are_read(height, width, padding, is_bigendian):
    flow = numbers(height, width, 2, 0)
    rows = np.zeros((height, 8 * width + padding), np.uint8)
    rows[:, : 8 * width] = flow.astype(">f4" if is_bigendian else "<f4").reshape(height, -1).view(np.uint8)
    message = Image(height=height, width=width, encoding="32FC2", step=8 * width + padding, is_bigendian=is_bigendian)
    message.data.frombytes(rows.tobytes())
    read = flow_from_image(message)
    assert read.dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(read, flow)


@pytest.mark.parametrize(
    ("read", "change", "cause", "complaint"),
    [
        (flow_from_image, {"encoding": "32FC1"}, "unknown encoding", "expected flow as 32FC2, got '32FC1'"),
        (depth_from_image, {}, "unknown encoding", "expected depth as 32FC1, got '32FC2'"),
        (flow_from_image, {"height": 0}, "empty image", "at least one pixel, got 4x0"),
        (flow_from_image, {"step": 31}, "wrong step", "step of 32 bytes or more for 4 pixels, got 31"),
        (flow_from_image, {"height": 4}, "truncated data", "expected 128 bytes, got 96"),
    ],
)
def test_messages_that_contradict_themselves_are_refused(read, change, cause, complaint):
    message = flow_to_image(numbers(3, 4, 2, 0), HEADER)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError, match=complaint) as caught:
        read(message)
    assert caught.value.cause == cause
