"""Keypoint R-CNN (He et al., ICCV 2017, arXiv 1703.06870) by torchvision: people and their joints by one network.

Code BSD-3-Clause; trained on COCO keypoints (annotations CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mambapose_ros.errors import first_line
from mambapose_ros.skeleton import COCO_NAMES, COCO_TO_H36M, map_landmarks
from mambapose_ros.types import Frame, PersonKeypoints
from mambapose_ros.weights import WeightsError, locate
from mambapose_ros.weights.state_dict import read_state_dict

_SURE_PERSON = 0.7  # score of a box
_PERSON = 1  # class


class KeypointRCNNDetector:
    """``torchvision.models.detection.keypointrcnn_resnet50_fpn``, image by image.

    Args:
        max_people: the surest ones are kept when there are more.
        device: "cpu" or "cuda".
        weights: a name of the registry or a file with torchvision's state dict.
        shorter_side: pixels that images are scaled to. The network was trained at 640 to 800; less is faster.

    Raises:
        WeightsError: when weights are missing or not what they should be.
        ImportError: when torchvision is not installed.
    """

    def __init__(
        self,
        max_people: int = 4,
        device: str = "cpu",
        weights: str = "keypoint-rcnn",
        shorter_side: int = 640,
    ) -> None:
        from torchvision.models.detection import keypointrcnn_resnet50_fpn

        path = locate(weights)
        self._model = keypointrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_keypoints=len(COCO_NAMES),
            min_size=shorter_side,
            max_size=2 * shorter_side,
        )
        _load(self._model, path)
        self._model.eval().to(device)
        self._device = device
        self._max_people = max_people

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        pixels = torch.from_numpy(np.ascontiguousarray(frame.image)).to(self._device)
        with torch.inference_mode():
            (found,) = self._model([pixels.permute(2, 0, 1).to(torch.float32) / 255.0])
        return people_of(found, self._max_people)

    def reset(self) -> None:
        """Nothing to forget: images are looked at one by one."""

    def close(self) -> None:
        del self._model


def people_of(found: Mapping[str, torch.Tensor], max_people: int) -> tuple[PersonKeypoints, ...]:
    """The surest people of torchvision's answer for an image.

    Args:
        found: ``scores`` (N,) and ``labels`` (N,) of boxes, ``keypoints`` (N, 17, 3) pixels, ``keypoints_scores``
            (N, 17) peaks of heatmaps, which are logits.
        max_people: most people.
    """
    chosen = (found["labels"] == _PERSON) & (found["scores"] >= _SURE_PERSON)
    order = found["scores"][chosen].argsort(descending=True)[:max_people]
    landmarks = found["keypoints"][chosen][order][..., :2].cpu().numpy().astype(np.float64)
    # Uncalibrated: a logit of 0 is as likely elsewhere.
    confidence = found["keypoints_scores"][chosen][order].sigmoid().cpu().numpy().astype(np.float64)
    joints = map_landmarks(COCO_TO_H36M, landmarks, confidence)
    return tuple(PersonKeypoints(xy=xy, confidence=sure) for xy, sure in zip(*joints, strict=True))


def _load(model: torch.nn.Module, path: Path) -> None:
    expected = f"the state dict of torchvision's keypointrcnn_resnet50_fpn with {len(COCO_NAMES)} keypoints"
    remedy = "run `mambapose download keypoint-rcnn` to fetch it"
    state = read_state_dict(path, expected, remedy)
    try:
        model.load_state_dict(state)
    except Exception as error:  # of many kinds, where a state dict is something else
        raise WeightsError(
            f"{path}: expected {expected}, but it does not fit ({first_line(error)}); {remedy}"
        ) from error
