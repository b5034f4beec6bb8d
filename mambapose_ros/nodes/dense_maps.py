"""Flow and depth of every pixel as messages, and back."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.image_encoding import ImageError

FLOW_ENCODING = "32FC2"
"""Pixels of the published grid, x to the right and y down."""

DEPTH_ENCODING = "32FC1"
"""Metres, or inverse depth; NaN = unknown."""


def depth_topic(estimator: str) -> str:
    """Where depth of an estimator (a key of ``perception.depth.DEPTHS``) is published: what the numbers mean, an image
    does not tell, so metres and inverse depth have topics of their own."""
    return "depth" if estimator == "sensor" or "metric" in estimator else "inverse_depth"


def flow_to_image(flow: np.ndarray | None, header: Header) -> Image:
    """Message of flow (H, W, 2); of None, an image without pixels: it is known that there is no flow."""
    if flow is None:
        return Image(header=header, encoding=FLOW_ENCODING)
    return _to_image(flow, FLOW_ENCODING, header)


def flow_from_image(message: Image) -> np.ndarray | None:
    """(H, W, 2) float32 of a message; None when there is no flow.

    Raises:
        ImageError: when the message is no flow.
    """
    if message.encoding == FLOW_ENCODING and not message.height and not message.width:
        return None
    return _from_image(message, FLOW_ENCODING, "flow", 2)


def depth_to_image(values: np.ndarray, header: Header) -> Image:
    """Message of depth (H, W)."""
    return _to_image(values, DEPTH_ENCODING, header)


def depth_from_image(message: Image) -> np.ndarray:
    """(H, W) float32 of a message, as it is.

    Raises:
        ImageError: when the message is no depth of a network; what depth cameras send, ``conversions.depth_to_metres``
            reads.
    """
    return _from_image(message, DEPTH_ENCODING, "depth", 1)[..., 0]


def _to_image(values: np.ndarray, encoding: str, header: Header) -> Image:
    data = np.ascontiguousarray(values, "<f4")
    height, width = data.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=data.nbytes // height)
    # Through the array's own buffer: assigning bytes or lists checks every element.
    message.data.frombytes(data.view(np.uint8).data)
    return message


def _from_image(message: Image, encoding: str, what: str, channels: int) -> np.ndarray:
    """(H, W, channels) float32."""
    if message.encoding != encoding:
        raise ImageError("unknown encoding", f"expected {what} as {encoding}, got {message.encoding!r}")
    height, width, step = message.height, message.width, message.step
    row = 4 * channels * width
    if not (height and width):
        raise ImageError("empty image", f"expected {what} with at least one pixel, got {width}x{height}")
    if step < row:
        raise ImageError("wrong step", f"expected a step of {row} bytes or more for {width} pixels, got {step}")
    if len(message.data) < height * step:
        raise ImageError("truncated data", f"expected {height * step} bytes, got {len(message.data)}")
    rows = np.frombuffer(message.data, np.uint8, height * step).reshape(height, step)[:, :row]
    values = np.ascontiguousarray(rows).view(">f4" if message.is_bigendian else "<f4")
    return values.astype(np.float32, copy=False).reshape(height, width, channels)
