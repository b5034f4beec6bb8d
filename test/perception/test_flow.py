import cv2
import numpy as np
import pytest

from mambapose_ros.perception.flow import DISFlow, make_flow

TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (160, 200, 3), dtype=np.uint8), (0, 0), 2.0)
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX)


def test_flow_is_the_motion_since_the_previous_image():
    flow = DISFlow()
    assert flow(TEXTURE) is None
    moved = np.roll(TEXTURE, (3, 5), axis=(0, 1))  # everything goes 5 px right and 3 px down
    found = flow(moved)
    assert found.shape == (160, 200, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.median(found[20:-20, 20:-20], axis=(0, 1)), [5.0, 3.0], atol=0.2)


def test_no_flow_across_a_reset_or_a_change_of_size():
    flow = DISFlow()
    flow(TEXTURE)
    assert flow(TEXTURE[:100]) is None
    assert flow(TEXTURE[:100]) is not None
    flow.reset()
    assert flow(TEXTURE[:100]) is None


def test_estimators_by_name():
    assert make_flow("off") is None
    assert isinstance(make_flow("dis"), DISFlow)
    with pytest.raises(ValueError, match="dis"):
        make_flow("magic")
