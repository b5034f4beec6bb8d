"""Keypoint R-CNN with random weights in torchvision's format."""

import numpy as np
import pytest
import torch

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import DetectorUnavailable, make_detector
from mambapose_ros.perception.keypoints.keypoint_rcnn import KeypointRCNNDetector, people_of
from mambapose_ros.skeleton import COCO_NAMES, COCO_TO_H36M, JOINT_INDEX
from mambapose_ros.types import Frame

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
FRAME = Frame(0, "camera", IMAGE, Camera.from_fov(128, 96))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that calls everything a person, and the file of its state dict."""
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    torch.manual_seed(0)
    model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=96, max_size=192)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias[:] = torch.tensor([-5.0, 5.0])
    path = tmp_path_factory.mktemp("rcnn") / "keypointrcnn.pth"
    torch.save(model.state_dict(), path)
    return model.eval(), path


def test_people_are_those_of_torchvision_as_human36m_joints(network):
    model, path = network
    detector = KeypointRCNNDetector(max_people=2, weights=str(path), shorter_side=96)
    with torch.inference_mode():
        (expected,) = model([torch.from_numpy(IMAGE).permute(2, 0, 1) / 255.0])
    people = detector(FRAME)
    assert len(people) == 2
    for person, landmarks in zip(people, expected["keypoints"].numpy(), strict=False):
        np.testing.assert_allclose(person.xy, COCO_TO_H36M @ landmarks[:, :2], atol=1e-3)
        assert ((person.confidence >= 0.0) & (person.confidence <= 1.0)).all()


def test_only_sure_people_the_surest_first():
    landmarks = torch.rand(4, 17, 3) * 100.0
    found = {
        "scores": torch.tensor([0.8, 0.95, 0.5, 0.99]),
        "labels": torch.tensor([1, 1, 1, 2]),
        "keypoints": landmarks,
        "keypoints_scores": torch.full((4, 17), 2.0),
    }
    first, second = people_of(found, max_people=4)
    wrist = COCO_NAMES.index("left_wrist")
    for person, index in ((first, 1), (second, 0)):
        np.testing.assert_allclose(person.xy[JOINT_INDEX["left_wrist"]], landmarks[index, wrist, :2], rtol=1e-6)
        np.testing.assert_allclose(person.confidence, 1.0 / (1.0 + np.exp(-2.0)), rtol=1e-5)
    assert len(people_of(found, max_people=1)) == 1


def test_weights_that_are_something_else_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(DetectorUnavailable, match=r"but it does not fit .*mambapose download keypoint-rcnn"):
        make_detector("keypoint_rcnn", weights=str(path))
    for content in (b"not a checkpoint", b"\x80\x02."):
        path.write_bytes(content)
        with pytest.raises(DetectorUnavailable, match=rf"{path}: expected .* nothing in it was run.*; run `mambapose"):
            make_detector("keypoint_rcnn", weights=str(path))

    def bare(*_):
        raise AssertionError

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", bare)
    torch.save({}, path)
    with pytest.raises(DetectorUnavailable, match=r"it does not fit \(AssertionError\)"):
        make_detector("keypoint_rcnn", weights=str(path))
