"""ViTPose (Xu et al., arXiv 2204.12484, 2212.04246) in boxes by RT-DETR (Zhao et al., arXiv 2304.08069).

Both by transformers. Code and models Apache-2.0. Trained on COCO keypoints (annotations CC BY 4.0), RT-DETR also on
Objects365; the "plus" models on further data, some of it for research only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mambapose_ros.perception.boxes import box_iou
from mambapose_ros.perception.keypoints.top_down import Crops, crop, decode
from mambapose_ros.perception.oks import oks
from mambapose_ros.skeleton import COCO_NAMES, coco_to_h36m
from mambapose_ros.types import Frame, PersonKeypoints
from mambapose_ros.weights import WeightsError, locate
from mambapose_ros.weights.transformers_folder import Architecture

_VITPOSE = Architecture("ViTPose", "vitpose", "vitpose-base-simple")
_RTDETR = Architecture("RT-DETR", "rt_detr", "rtdetr-r18")
_FIND_EVERY = 10  # images; in between, boxes follow the keypoints
_SURE_PERSON = 0.5  # score of a box
_LOST = 0.3  # mean confidence of keypoints, below which a box is not followed
_SURE_JOINT = 0.3  # confidence of those that make the next box
_MARGIN = 0.1  # of the longer side of the joints' box: joints lie inside the body, boxes go around it
_SAME_PERSON = 0.6  # OKS
_SAME_BOX = 0.3  # intersection over union


class VitPoseDetector:
    """Finds people now and then, and their joints in every image, all people in one batch.

    Args:
        max_people: the surest ones are kept when there are more.
        device: "cpu" or "cuda".
        weights: of ViTPose, a name of the registry or a folder that ``save_pretrained`` wrote.
        finder_weights: of RT-DETR, likewise.
        find_every: images from one search for people to the next.

    Raises:
        WeightsError: when weights are missing or not what they should be.
        ImportError: when transformers is not installed.
    """

    def __init__(
        self,
        max_people: int = 4,
        device: str = "cpu",
        weights: str = "vitpose-base-simple",
        finder_weights: str = "rtdetr-r18",
        find_every: int = _FIND_EVERY,
    ) -> None:
        pose_folder, finder_folder = locate(weights), locate(finder_weights)  # both or none
        self._pose = PoseNetwork(pose_folder, device)
        self._finder = PersonFinder(finder_folder, device)
        self._max_people = max_people
        self._find_every = find_every
        self._boxes = np.empty((0, 4))
        self._images = 0

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        image = frame.image
        if self._images % self._find_every == 0 or not len(self._boxes):
            found = self._finder(image)
            # Whom the finder misses is followed further, as long as the keypoints are sure of a person there.
            missed = self._boxes[(box_iou(self._boxes[:, None], found) < _SAME_BOX).all(axis=1)]
            self._boxes = np.concatenate([found, missed])[: self._max_people]
        self._images += 1
        people = [
            person
            for landmarks, confidence in zip(*self._pose(image, self._boxes), strict=True)
            if (person := PersonKeypoints(*coco_to_h36m(landmarks, confidence))).confidence.mean() >= _LOST
        ]
        kept: list[PersonKeypoints] = []
        for person in people:
            if all(oks(person, other) <= _SAME_PERSON for other in kept):
                kept.append(person)
        boxes = [box_around(person, image.shape[1], image.shape[0]) for person in kept]
        self._boxes = np.array([box for box in boxes if box is not None]).reshape(-1, 4)
        return tuple(kept)

    def reset(self) -> None:
        self._boxes = np.empty((0, 4))
        self._images = 0

    def close(self) -> None:
        del self._pose, self._finder


class PoseNetwork:
    """ViTPose from a folder, in boxes.

    Args:
        folder: as ``save_pretrained`` writes it, with config.json, preprocessor_config.json and model.safetensors.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: when the folder holds something else.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

        processor = _VITPOSE.load_processor(VitPoseImageProcessor, folder)
        self._model = _VITPOSE.load_network(VitPoseForPoseEstimation, folder).to(device)
        joints = self._model.config.num_labels
        if joints != len(COCO_NAMES):
            raise WeightsError(
                f"{folder}: expected a ViTPose with the {len(COCO_NAMES)} keypoints of COCO, got {joints} keypoints; "
                "use vitpose-base-simple or vitpose-plus-small"
            )
        self._device = device
        self._width, self._height = int(processor.size["width"]), int(processor.size["height"])
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (processor.image_mean, processor.image_std))
        self._mean, self._std = (255.0 * mean).to(device), (255.0 * std).to(device)

    def preprocess(self, image: np.ndarray, crops: Crops) -> torch.Tensor:
        """(P, 3, height, width) float32 input of the network for crops of an image (H, W, 3) uint8 RGB."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        return (crop(pixels, crops, self._width, self._height) - self._mean) / self._std

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """COCO keypoints of the people in boxes (P, 4) of x0, y0, x1, y1: (P, 17, 2) pixels, (P, 17) in [0, 1]."""
        if not len(boxes):
            return np.empty((0, 17, 2)), np.empty((0, 17))
        crops = Crops.around(boxes, self._width, self._height)
        more = {}
        if self._model.config.backbone_config.num_experts > 1:
            more["dataset_index"] = torch.zeros(len(boxes), dtype=torch.long, device=self._device)  # COCO's expert
        with torch.inference_mode():
            heatmaps = self._model(self.preprocess(image, crops), **more).heatmaps
        xy, score = decode(heatmaps, crops)
        return xy, score.clip(0.0, 1.0)


class PersonFinder:
    """RT-DETR from a folder: boxes of people.

    Args:
        folder: as ``save_pretrained`` writes it, with config.json, preprocessor_config.json and model.safetensors.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: when the folder holds something else.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import RTDetrForObjectDetection, RTDetrImageProcessor

        self._processor = _RTDETR.load_processor(RTDetrImageProcessor, folder)
        self._model = _RTDETR.load_network(RTDetrForObjectDetection, folder).to(device)
        self._device = device
        labels = self._model.config.id2label
        people = [index for index, name in labels.items() if str(name).lower() == "person"]
        if not people:
            raise WeightsError(f"{folder}: expected a detector with a class 'person', got {len(labels)} other classes")
        self._label = people[0]

    def __call__(self, image: np.ndarray, least: float = _SURE_PERSON) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (P, 4) x0, y0, x1, y1 in its pixels, the surest first, scores from ``least`` on."""
        inputs = self._processor(images=image, return_tensors="pt", device=self._device)
        with torch.inference_mode():
            output = self._model(pixel_values=inputs["pixel_values"].to(self._device))
        found = self._processor.post_process_object_detection(output, least, target_sizes=[image.shape[:2]])[0]
        chosen = found["labels"] == self._label
        order = found["scores"][chosen].argsort(descending=True)
        # Edges of pixels here; pixel centres in this package.
        return found["boxes"][chosen][order].cpu().numpy().astype(np.float64) - 0.5


def box_around(person: PersonKeypoints, width: int, height: int) -> tuple[float, float, float, float] | None:
    """x0, y0, x1, y1 of somebody's body from their sure joints, within the image; None when too little is left."""
    sure = np.isfinite(person.xy).all(axis=1) & (person.confidence >= _SURE_JOINT)
    if sure.sum() < 2:
        return None
    low, high = person.xy[sure].min(axis=0), person.xy[sure].max(axis=0)
    margin = _MARGIN * float((high - low).max())
    x0, y0 = np.clip(low - margin, 0.0, (width - 1.0, height - 1.0))
    x1, y1 = np.clip(high + margin, 0.0, (width - 1.0, height - 1.0))
    if x1 - x0 < 2.0 or y1 - y0 < 2.0:
        return None
    return float(x0), float(y0), float(x1), float(y1)
