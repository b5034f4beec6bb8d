import contextlib

import cv2
import numpy as np
import pytest
from huge_picture import huge_png
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.image_encoding import ENCODINGS, ImageError, decode_compressed, decode_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, padding: int = 0) -> tuple[bytes, int]:
    """Rows of pixels with padding bytes behind each; returns them and the step."""
    rows = pixels.reshape(pixels.shape[0], -1)
    raw = np.ascontiguousarray(rows).view(np.uint8)
    padded = np.pad(raw, ((0, 0), (0, padding)), constant_values=0xAB)
    return padded.tobytes(), padded.shape[1]


def decode(data: bytes, encoding: str, step: int, shape=RGB.shape, **keywords) -> np.ndarray:
    return decode_image(data, encoding=encoding, width=shape[1], height=shape[0], step=step, **keywords)


BYTE_LAYOUTS = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "8UC3": RGB[..., ::-1],
    "rgba8": np.dstack([RGB, np.full(RGB.shape[:2], 9, np.uint8)]),
    "bgra8": np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 9, np.uint8)]),
    "8UC4": np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 9, np.uint8)]),
}


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("encoding", BYTE_LAYOUTS)
def test_channel_order(encoding, padding):
    data, step = encode(BYTE_LAYOUTS[encoding], padding)
    np.testing.assert_array_equal(decode(data, encoding, step), RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(encoding):
    data, step = encode(RGB[..., 0], 3)
    np.testing.assert_array_equal(decode(data, encoding, step), np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgr16"])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_16_bits_scale_to_8_whichever_end_comes_first(encoding, is_bigendian):
    values = np.random.default_rng(1).integers(0, 65536, RGB.shape, dtype=np.uint16)
    stored = {"mono16": values[..., 0], "rgb16": values, "bgr16": values[..., ::-1]}[encoding]
    data, step = encode(stored.astype(">u2" if is_bigendian else "<u2"), 2)
    expected = np.rint(values * (255 / 65535)).astype(np.uint8)
    if encoding == "mono16":
        expected = np.repeat(expected[..., :1], 3, axis=2)
    np.testing.assert_array_equal(decode(data, encoding, step, is_bigendian=is_bigendian), expected)


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv422_follows_bt601(encoding, order):
    """One colour everywhere: Y, U, V in the place each layout has them, studio range."""
    y, u, v = 120, 90, 200
    pair = {"uyvy": [u, y, v, y], "yuyv": [y, u, y, v]}[order]
    data, step = encode(np.tile(np.array(pair, np.uint8), (4, 3)), 5)
    c, d, e = 1.164 * (y - 16), u - 128, v - 128
    expected = np.clip([c + 1.596 * e, c - 0.391 * d - 0.813 * e, c + 2.018 * d], 0, 255)
    image = decode(data, encoding, step, shape=(4, 6))
    np.testing.assert_allclose(image, np.broadcast_to(expected, (4, 6, 3)), atol=2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_name_the_first_row(pattern, bits):
    """A mosaic of one colour gives that colour back away from the border."""
    color = {"r": 200, "g": 100, "b": 50}
    cell = np.array([[color[pattern[0]], color[pattern[1]]], [color[pattern[2]], color[pattern[3]]]])
    mosaic = np.tile(cell, (4, 4)).astype(np.uint8)
    stored = mosaic if bits == 8 else mosaic.astype("<u2") * 257
    data, step = encode(stored, 2)
    image = decode(data, f"bayer_{pattern}{bits}", step, shape=(8, 8))
    np.testing.assert_array_equal(image[2:-2, 2:-2], np.broadcast_to([200, 100, 50], (4, 4, 3)))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_16_bit_mosaics_are_interpolated_before_they_are_scaled(pattern):
    """So that nothing is rounded twice; as cv_bridge does."""
    mosaic = np.random.default_rng(2).integers(0, 65536, (8, 8), dtype=np.uint16)
    data, step = encode(mosaic.astype("<u2"))
    colors = cv2.cvtColor(mosaic, getattr(cv2, ENCODINGS[f"bayer_{pattern}16"].conversion))
    expected = np.rint(colors * (255 / 65535)).astype(np.uint8)
    np.testing.assert_array_equal(decode(data, f"bayer_{pattern}16", step, shape=(8, 8)), expected)


@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    half_width=st.integers(2, 20),
    half_height=st.integers(2, 20),
    padding=st.integers(0, 9),
    is_bigendian=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_encoding_ignores_padding(encoding, half_width, half_height, padding, is_bigendian, seed):
    width, height, layout = 2 * half_width, 2 * half_height, ENCODINGS[encoding]
    row = width * layout.channels * np.dtype(layout.dtype).itemsize
    raw = np.random.default_rng(seed).integers(0, 256, (height, row), dtype=np.uint8)
    data, step = encode(raw, padding)
    image = decode(data, encoding, step, (height, width), is_bigendian=is_bigendian)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(
        image, decode(raw.tobytes(), encoding, row, (height, width), is_bigendian=is_bigendian)
    )


def test_the_result_does_not_alias_the_message():
    data = bytearray(RGB.tobytes())
    image = decode(data, "rgb8", 24)
    data[:] = bytes(len(data))
    np.testing.assert_array_equal(image, RGB)


def test_the_last_row_may_lack_its_padding():
    data, step = encode(RGB, 10)
    np.testing.assert_array_equal(decode(data[:-10], "rgb8", step), RGB)


@pytest.mark.parametrize(
    ("changes", "cause", "named"),
    [
        ({"encoding": "jpeg"}, "unknown encoding", "'jpeg'"),
        ({"encoding": ""}, "unknown encoding", "rgb8"),
        ({"step": 23}, "wrong step", "24 bytes"),
        ({"step": 0}, "wrong step", "got 0"),
        ({"width": 0}, "empty image", "0x6"),
        ({"height": 0}, "empty image", "8x0"),
        ({"height": 7}, "truncated data", "168 bytes"),
        ({"encoding": "yuv422", "width": 7}, "odd image size", "7x6"),
        ({"encoding": "bayer_rggb8", "height": 5}, "odd image size", "8x5"),
    ],
)
def test_bad_images_are_refused_with_what_was_expected(changes, cause, named):
    arguments = {"encoding": "rgb8", "width": 8, "height": 6, "step": 24, **changes}
    with pytest.raises(ImageError) as raised:
        decode_image(RGB.tobytes(), **arguments)
    assert raised.value.cause == cause
    assert named in str(raised.value)


@given(
    st.binary(max_size=200),
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(-1, 40),
    st.integers(-1, 40),
    st.integers(-1, 200),
)
def test_arbitrary_messages_decode_or_are_refused(data, encoding, width, height, step):
    with contextlib.suppress(ImageError):
        image = decode_image(data, encoding=encoding, width=width, height=height, step=step)
        assert image.shape == (height, width, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(suffix):
    smooth = cv2.resize(RGB, (80, 60), interpolation=cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))
    image = decode_compressed(encoded.tobytes(), suffix)
    np.testing.assert_allclose(image, smooth, atol=0 if suffix == ".png" else 40)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff", huge_png()])
def test_undecodable_compressed_images_are_refused(data):
    with pytest.raises(ImageError, match="JPEG or PNG"):
        decode_compressed(data, "jpeg")
