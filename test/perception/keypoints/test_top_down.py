import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import VitPoseImageProcessor
from transformers.models.vitpose.modeling_vitpose import VitPoseEstimatorOutput

from mambapose_ros.perception.keypoints.top_down import Crops, crop, decode

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
PROCESSOR = VitPoseImageProcessor()
MEAN, STD = (torch.tensor(value).view(3, 1, 1) for value in (PROCESSOR.image_mean, PROCESSOR.image_std))


def as_xywh(boxes):
    boxes = np.asarray(boxes, float)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def bumps(peaks, height=64, width=48):
    """(P, K, height, width) heatmaps with Gaussian peaks (P, K, 2) at x, y."""
    y, x = np.mgrid[:height, :width]
    squared = (x - peaks[..., 0, None, None]) ** 2 + (y - peaks[..., 1, None, None]) ** 2
    return torch.from_numpy(np.exp(-squared / 8.0)).float()


@settings(deadline=None, max_examples=15)
@given(
    x=st.floats(-60.0, 150.0),
    y=st.floats(-60.0, 110.0),
    width=st.floats(3.0, 200.0),
    height=st.floats(3.0, 200.0),
)
def test_crops_are_those_of_the_upstream_processor(x, y, width, height):
    box = [x, y, x + width, y + height]
    expected = PROCESSOR(IMAGE, boxes=[as_xywh([box]).tolist()], return_tensors="pt").pixel_values
    ours = crop(torch.from_numpy(IMAGE), Crops.around(np.array([box]), 192, 256), 192, 256)
    normalised = (ours / 255.0 - MEAN) / STD
    # A value halfway between two grey levels may be rounded either way; all others agree to 1e-5.
    apart = (normalised - expected).abs() > 1e-5
    assert apart.float().mean() < 1e-3
    assert (normalised - expected).abs().max() < 1.01 / 255.0 / STD.min()


def test_crops_agree_everywhere_on_a_photo_like_image():
    boxes = np.array([[20.0, 10.0, 90.0, 110.0], [100.5, -20.25, 170.0, 60.0]])
    expected = PROCESSOR(IMAGE, boxes=[as_xywh(boxes).tolist()], return_tensors="pt").pixel_values
    ours = crop(torch.from_numpy(IMAGE), Crops.around(boxes, 192, 256), 192, 256)
    np.testing.assert_allclose((ours / 255.0 - MEAN) / STD, expected, atol=1e-5)


def plain_crop(image, crops, width, height):
    """`crop` on the whole image in float64."""
    pixels, parts = image.astype(np.float64), []
    last_row, last_column = image.shape[0] - 1, image.shape[1] - 1
    for center, size in zip(crops.center, crops.size, strict=True):
        x, y = (
            (np.arange(count) - float(np.float32((count - 1.0) / size[i] * (-0.5 * (center[i] * 2.0) + 0.5 * size[i]))))
            / float(np.float32((count - 1.0) / size[i]))
            for i, count in enumerate((width, height))
        )
        inside = ((y >= 0) & (y <= last_row))[:, None] & ((x >= 0) & (x <= last_column))
        x, y = x.clip(0, last_column), y.clip(0, last_row)
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        upper, lower = pixels[row], pixels[np.minimum(row + 1, last_row)]
        lines = upper + (y - row)[:, None, None] * (lower - upper)
        left, right = lines[:, column], lines[:, np.minimum(column + 1, last_column)]
        part = (left + (x - column)[:, None] * (right - left)) * inside[..., None]
        parts.append(np.floor(part + 0.5).transpose(2, 0, 1))
    return np.stack(parts).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**31),
    image_size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(2, 50), st.integers(2, 50)),
)
def test_crops_are_bit_for_bit_those_of_the_plain_formula(seed, image_size, size):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (*image_size, 3), dtype=np.uint8)
    corner = random.uniform(-60.0, 90.0, (3, 2))  # many reach over the border, some are outside altogether
    crops = Crops.around(np.concatenate([corner, corner + random.uniform(1.0, 120.0, (3, 2))], axis=1), *size)
    np.testing.assert_array_equal(crop(torch.from_numpy(image), crops, *size), plain_crop(image, crops, *size))


def test_outside_the_image_is_black():
    parts = crop(torch.from_numpy(IMAGE), Crops.around(np.array([[500.0, 500.0, 560.0, 580.0]]), 48, 64), 48, 64)
    assert parts.shape == (1, 3, 64, 48)
    assert (parts == 0).all()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_decoding_is_that_of_the_upstream_processor(seed):
    random = np.random.default_rng(seed)
    peaks = random.uniform((0.0, 0.0), (47.0, 63.0), (2, 17, 2))  # to the very border
    heatmaps = bumps(peaks)
    boxes = np.array([[10.0, 20.0, 60.0, 110.0], [80.0, 5.0, 150.0, 100.0]])
    output = VitPoseEstimatorOutput(heatmaps=heatmaps)
    (expected,) = PROCESSOR.post_process_pose_estimation(output, boxes=[as_xywh(boxes)])
    xy, score = decode(heatmaps, Crops.around(boxes, 192, 256))
    np.testing.assert_allclose(xy, np.stack([person["keypoints"] for person in expected]), atol=5e-3)
    np.testing.assert_allclose(score, np.stack([person["scores"] for person in expected]), atol=1e-6)


def test_peaks_are_found_to_a_fraction_of_a_pixel():
    peaks = np.random.default_rng(1).uniform((5.0, 5.0), (42.0, 58.0), (1, 17, 2))
    crops = Crops(np.array([[100.0, 80.0]], np.float32), np.array([[94.0, 126.0]], np.float32))
    xy, _ = decode(bumps(peaks), crops)
    np.testing.assert_allclose(xy, peaks * 2.0 + (100.0 - 47.0, 80.0 - 63.0), atol=0.02)


def test_a_heatmap_without_a_peak_is_a_missing_joint():
    heatmaps = bumps(np.full((1, 17, 2), 20.0))
    heatmaps[0, 3] = -0.1
    xy, score = decode(heatmaps, Crops.around(np.array([[0.0, 0.0, 60.0, 80.0]]), 192, 256))
    assert np.isnan(xy[0, 3]).all()
    assert score[0, 3] == pytest.approx(-0.1)
    assert np.isfinite(np.delete(xy[0], 3, axis=0)).all()
