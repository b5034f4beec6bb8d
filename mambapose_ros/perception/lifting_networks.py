"""The networks that lift windows of observations to root-relative poses: this package's own, and published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from mambapose_ros.evidence import Observations, build_evidence
from mambapose_ros.geometry import Camera
from mambapose_ros.models import CheckpointError, PoseMamba, flip_average, load_official_checkpoint, normalize_keypoints
from mambapose_ros.models.mambapose import MambaPose, MirrorAverage, load_mambapose
from mambapose_ros.ops.scan import backend_name
from mambapose_ros.skeleton import BONE_LENGTH_PRIOR, PARENTS


@dataclass(frozen=True, eq=False)
class LiftedPoses:
    """Poses of P people at one moment.

    Attributes:
        joints: (P, 17, 3) metres from the pelvis, camera optical frame.
        covariance: (P, 17, 3, 3) square metres, of the same; None = unknown.
    """

    joints: np.ndarray
    covariance: np.ndarray | None = None


class LiftingNetwork(Protocol):
    """Turns windows of observations into root-relative poses in metres.

    Attributes:
        window: most frames that a window may have.
        scale_source: where its metres come from, as in ``Skeleton3D``, unless a depth sensor gives them.
        uses_depth: whether it makes use of depth.
        description: what it is and what it runs on, in one line.
    """

    window: int
    scale_source: str
    uses_depth: bool
    description: str

    def __call__(self, observations: Observations, cameras: Sequence[Camera], index: int) -> LiftedPoses:
        """Lift frame ``index`` of each window; 0 = oldest. ``cameras``: intrinsics of that frame's image, one for each
        person."""


def load_lifting_network(
    path: str | PathLike[str], flip_average: bool = False, device: str = "cpu"
) -> OfficialPoseMamba | FusionMambaPose:
    """The network in a file: MambaPose weights (safetensors), or a published PoseMamba checkpoint.

    Args:
        path: the file; what it is follows from its content.
        flip_average: average over the mirror image; somewhat more accurate, at twice the cost.
        device: to run on.

    Raises:
        CheckpointError: when the file is missing, damaged, or neither.
    """
    head = _head(Path(path))
    if head[8:] == b"{":  # safetensors: the length of a JSON object in eight bytes, then that object
        return FusionMambaPose(load_mambapose(path), flip_average, device)
    if head[:2] == b"PK" or head[:1] == b"\x80":  # PyTorch: a zip file or, before 1.6, a pickle
        return OfficialPoseMamba(load_official_checkpoint(path), flip_average, device)
    raise CheckpointError(
        f"{path}: expected MambaPose weights (.safetensors) or a published PoseMamba checkpoint (.bin), got a file "
        f"that begins with {head!r}; download it again, or give another"
    )


def _head(path: Path) -> bytes:
    """The first nine bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: expected a file of weights, but {error.strerror}; give another") from error


DETECTOR_GAP = 1.8
"""How much larger errors are than the network expects: detectors err in more ways than the simulated one that it was
trained with. Of rendered people seen through MediaPipe (``benchmarks/accuracy.py``), nine in ten errors lie within so
many times the network's own 90 % interval: with ``mambapose-s`` 1.80 (the newest of 27 frames) and 1.90 (the middle of
81) for seeds 0 to 3, 1.64 and 1.70 for seeds 4 to 7; with ``mambapose-xs`` 1.61 and 1.64, 1.53 and 1.59. The
largest of the newest frame is taken."""


class FusionMambaPose:
    """A MambaPose network as a ``LiftingNetwork``: keypoints, flow and depth, metric, with uncertainty.

    Nothing is filled in: it was trained on windows with missing joints, frames, flow and depth. Uncertainties are
    widened by ``DETECTOR_GAP``.

    Args:
        model: from ``models.mambapose.load_mambapose``.
        flip_average: average over the mirror image; somewhat more accurate, at twice the cost.
        device: to run on.
    """

    scale_source = "learned"
    uses_depth = True

    def __init__(self, model: MambaPose, flip_average: bool = False, device: str = "cpu") -> None:
        self._model = (MirrorAverage(model) if flip_average else model).to(device)
        self._device = device
        self.window: int = model.config.window
        self.description = (
            f"MambaPose width {model.config.width}, depth {model.config.depth} on {device}, {_scan(model, device)}"
        )

    def __call__(self, observations: Observations, cameras: Sequence[Camera], index: int) -> LiftedPoses:
        """As ``LiftingNetwork``."""
        evidence, virtual_camera = build_evidence(observations)
        with torch.inference_mode():
            estimate = self._model(torch.from_numpy(evidence).to(self._device))
        joints = estimate.positions[:, index].double().cpu().numpy()
        scale = DETECTOR_GAP * estimate.log_scale[:, index].double().exp().cpu().numpy()
        # The length of the error has a gamma distribution of shape 3, whose mean square is 12 scale^2: 4 per axis.
        variance = 4.0 * scale**2
        variance[:, 0] = 0.0  # the pelvis is the origin
        return LiftedPoses(virtual_camera.to_camera(joints), variance[..., None, None] * np.eye(3))


class OfficialPoseMamba:
    """A published PoseMamba network as a ``LiftingNetwork``.

    Its input has no intrinsics and its output no scale: x, y and z are in one unit of the image (half its width). Each
    pose is scaled so that its limbs fit those of an average adult best (``skeleton.BONE_LENGTH_PRIOR``), hence
    ``scale_source`` "bone_prior": a child comes out too large and too far away.

    It knows no missing joints either: they are filled in by linear interpolation over the window, and before a person
    came, they are taken to have stood still.

    Args:
        model: from ``models.load_official_checkpoint``.
        flip_average: average over the mirror image; somewhat more accurate, at twice the cost.
        device: to run on.
    """

    scale_source = "bone_prior"
    uses_depth = False

    def __init__(self, model: PoseMamba, flip_average: bool = False, device: str = "cpu") -> None:
        self._model = model.to(device)
        self._flip_average, self._device = flip_average, device
        self.window: int = model.config.window
        self.description = (
            f"PoseMamba width {model.config.width}, depth {model.config.depth} on {device}, {_scan(model, device)}"
        )

    def __call__(self, observations: Observations, cameras: Sequence[Camera], index: int) -> LiftedPoses:
        """As ``LiftingNetwork``."""
        seconds = observations.interval.cumsum(axis=1)
        windows = torch.stack(
            [
                _normalized(_fill_gaps(*window), camera)
                for *window, camera in zip(observations.rays, seconds, cameras, strict=True)
            ]
        ).to(self._device, torch.float32)
        with torch.inference_mode():
            poses = flip_average(self._model, windows) if self._flip_average else self._model(windows)
        pose = poses[:, index].double().cpu().numpy()
        return LiftedPoses(scale_to_adult(pose - pose[:, :1]))


def scale_to_adult(poses: np.ndarray) -> np.ndarray:
    """Poses (P, 17, 3) of unknown scale -> metres: least squares of each pose's limb lengths to those of an adult."""
    ends = list(BONE_LENGTH_PRIOR)
    lengths = np.linalg.norm(poses[:, ends] - poses[:, [PARENTS[end] for end in ends]], axis=2)
    expected = np.array(list(BONE_LENGTH_PRIOR.values()))
    scale = (lengths @ expected) / np.maximum((lengths**2).sum(axis=1), 1e-12)
    return poses * scale[:, None, None]


def _normalized(rays: np.ndarray, camera: Camera) -> torch.Tensor:
    """A window of rays (T, J, 2) as a camera without distortion would have seen them, in PoseMamba's unit."""
    pixels = rays @ camera.K[:2, :2].T + camera.K[:2, 2]
    return normalize_keypoints(torch.from_numpy(pixels), camera.width, camera.height)


def _fill_gaps(seen: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Joints (T, J, 2) with NaN replaced: between two sightings by interpolation, before and after by the nearest one.

    A joint that was never seen takes the place of its parent, and a pelvis of the mean of all joints.
    """
    filled = seen.copy()
    known = np.isfinite(seen).all(axis=2)
    if not known.any():
        return np.zeros_like(seen)
    for joint, parent in enumerate(PARENTS):
        there = known[:, joint]
        if there.all():
            continue
        if there.any():
            for axis in range(2):
                filled[:, joint, axis] = np.interp(seconds, seconds[there], seen[there, joint, axis])
        elif parent >= 0:
            filled[:, joint] = filled[:, parent]
        else:
            filled[:, joint] = np.nanmean(seen, axis=(0, 1))
    return filled


def _scan(model: PoseMamba | MambaPose, device: str) -> str:
    """Name of the scan's backend. Asking for it also says aloud, where it must, that a slower one takes over."""
    return f"scan {backend_name(model.config.scan_backend, torch.device(device), torch.float32)}"
