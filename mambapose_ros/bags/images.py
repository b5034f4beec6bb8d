"""Images as bags have them, to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mambapose_ros.bags.message_types import COMPRESSED_IMAGE
from mambapose_ros.image_encoding import decode_compressed, decode_image


def image_to_rgb(message: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image or CompressedImage.

    Raises:
        ImageError: when the message is no image.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        return decode_compressed(message.data, message.format)
    return decode_image(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )
