import numpy as np

from mambapose_ros.perception.boxes import box_iou


def test_it_is_intersection_over_union_and_nothing_without_a_box():
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [np.nan] * 4])
    others = np.array([[5.0, 0.0, 15.0, 10.0]])
    np.testing.assert_allclose(box_iou(boxes[:, None], others), [[1.0 / 3.0], [0.0], [0.0]])
    assert box_iou(boxes[:, None], np.empty((0, 4))).shape == (3, 0)
