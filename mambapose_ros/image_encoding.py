"""Raw image bytes, as ``sensor_msgs/Image`` carries them, to RGB pixels.

The names and their meaning are those of ``sensor_msgs/image_encodings``. Pixels equal those of
``cv_bridge.imgmsg_to_cv2(message, "rgb8")`` for every encoding that it converts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Buffer = bytes | bytearray | memoryview | np.ndarray


class ImageError(ValueError):
    """An image that cannot be decoded.

    Attributes:
        cause: what is wrong in a few stable words ("unknown encoding", "truncated data", ...), to count by.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(f"{cause}: {message}")
        self.cause = cause


@dataclass(frozen=True)
class Encoding:
    """How one pixel is stored.

    Attributes:
        channels: values per pixel.
        dtype: "u1" or "u2"; the message says which end of a "u2" comes first.
        conversion: name of the OpenCV colour conversion to RGB; None = is RGB already.
        even: (x, y) = whether width and height must be even.
    """

    channels: int
    dtype: str
    conversion: str | None
    even: tuple[bool, bool] = (False, False)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel."""
        return self.channels * np.dtype(self.dtype).itemsize


def _bayer(conversion: str, dtype: str) -> Encoding:
    return Encoding(1, dtype, conversion, even=(True, True))


# OpenCV names a Bayer pattern by the pixels of the second row, ROS by those of the first.
_BAYER = {
    "rggb": "COLOR_BayerBG2RGB",
    "bggr": "COLOR_BayerRG2RGB",
    "gbrg": "COLOR_BayerGR2RGB",
    "grbg": "COLOR_BayerGB2RGB",
}

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, "u1", None),
    "bgr8": Encoding(3, "u1", "COLOR_BGR2RGB"),
    "8UC3": Encoding(3, "u1", "COLOR_BGR2RGB"),  # OpenCV's own order
    "rgba8": Encoding(4, "u1", "COLOR_RGBA2RGB"),
    "bgra8": Encoding(4, "u1", "COLOR_BGRA2RGB"),
    "8UC4": Encoding(4, "u1", "COLOR_BGRA2RGB"),
    "mono8": Encoding(1, "u1", "COLOR_GRAY2RGB"),
    "8UC1": Encoding(1, "u1", "COLOR_GRAY2RGB"),
    "mono16": Encoding(1, "u2", "COLOR_GRAY2RGB"),
    "rgb16": Encoding(3, "u2", None),
    "bgr16": Encoding(3, "u2", "COLOR_BGR2RGB"),
    "yuv422": Encoding(2, "u1", "COLOR_YUV2RGB_UYVY", even=(True, False)),
    "uyvy": Encoding(2, "u1", "COLOR_YUV2RGB_UYVY", even=(True, False)),
    "yuv422_yuy2": Encoding(2, "u1", "COLOR_YUV2RGB_YUY2", even=(True, False)),
    "yuyv": Encoding(2, "u1", "COLOR_YUV2RGB_YUY2", even=(True, False)),
    **{f"bayer_{pattern}8": _bayer(conversion, "u1") for pattern, conversion in _BAYER.items()},
    **{f"bayer_{pattern}16": _bayer(conversion, "u2") for pattern, conversion in _BAYER.items()},
}


def decode_image(
    data: Buffer, *, encoding: str, width: int, height: int, step: int, is_bigendian: bool = False
) -> np.ndarray:
    """Decode one image.

    Args:
        data: ``height * step`` bytes; more are ignored.
        encoding: a key of ``ENCODINGS``.
        width, height: pixels.
        step: bytes from one row to the next; at least a row's pixels, the rest is padding.
        is_bigendian: of 16-bit values.

    Returns:
        (height, width, 3) uint8 RGB, 16-bit values scaled to 8; a copy, so ``data`` may be reused.

    Raises:
        ImageError: naming what was expected and what came.
    """
    import cv2

    layout = check_image(np.frombuffer(data, np.uint8).size, encoding, width, height, step)
    rows = _rows(data, layout, width, height, step)
    values = rows.view(np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<"))
    image = values.reshape(height, width, layout.channels).astype(values.dtype.newbyteorder("="))
    if layout.conversion is not None:
        image = cv2.cvtColor(image, getattr(cv2, layout.conversion))
    if layout.dtype == "u2":
        # As cv_bridge does: after the colours, full scale to full scale, rounded.
        image = cv2.convertScaleAbs(image, alpha=255.0 / 65535.0)
    return image


def check_image(size: int, encoding: str, width: int, height: int, step: int) -> Encoding:
    """How an image of these properties is laid out; ``size`` is its number of bytes.

    Raises:
        ImageError: when they contradict each other, naming what was expected and what came.
    """
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise ImageError("unknown encoding", f"expected one of {', '.join(ENCODINGS)}, got {encoding!r}")
    if width <= 0 or height <= 0:
        raise ImageError("empty image", f"expected at least one pixel, got {width}x{height}")
    if (layout.even[0] and width % 2) or (layout.even[1] and height % 2):
        raise ImageError("odd image size", f"expected even sides for {encoding}, got {width}x{height}")
    row_bytes = width * layout.pixel_bytes
    if step < row_bytes:
        raise ImageError("wrong step", f"expected at least {row_bytes} bytes per row of {width} pixels, got {step}")
    # Some drivers leave out the padding of the last row.
    needed = (height - 1) * step + row_bytes
    if size < needed:
        raise ImageError("truncated data", f"expected {needed} bytes for {height} rows of {step}, got {size}")
    return layout


def decode_compressed(data: Buffer, image_format: str = "") -> np.ndarray:
    """Decode JPEG, PNG or what else OpenCV reads; ``image_format`` is only named in errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: when the bytes are not an image.
    """
    import cv2

    encoded = np.frombuffer(data, dtype=np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except cv2.error:  # a header that promises more pixels than OpenCV is willing to read
        image = None
    if image is None:
        raise ImageError(
            "undecodable compressed image",
            f"expected a JPEG or PNG, got {encoded.size} bytes said to be {image_format!r}",
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _rows(data: Buffer, layout: Encoding, width: int, height: int, step: int) -> np.ndarray:
    """The pixels' bytes (height, bytes of a row) without padding, contiguous."""
    content = np.frombuffer(data, dtype=np.uint8)
    strided = np.lib.stride_tricks.as_strided(content, (height, width * layout.pixel_bytes), (step, 1), writeable=False)
    return np.ascontiguousarray(strided)
