"""From 2D keypoints over time to skeletons in metres: a window per person, one batch, and the root solve."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from mambapose_ros.geometry import Camera, solve_root
from mambapose_ros.models import PoseMamba, flip_average, normalize_keypoints
from mambapose_ros.ops.scan import resolve_backend
from mambapose_ros.skeleton import BONE_LENGTH_PRIOR, NUM_JOINTS, PARENTS
from mambapose_ros.types import Frame, LiftedFrame, PersonKeypoints, Skeleton3D


class LiftingNetwork(Protocol):
    """Turns windows of keypoints into root-relative poses in metres.

    Attributes:
        window: most frames that a window may have.
        scale_source: where its metres come from, as in ``Skeleton3D``.
        description: what it is and what it runs on, in one line.
    """

    window: int
    scale_source: str
    description: str

    def __call__(self, keypoints: np.ndarray, camera: Camera, index: int) -> np.ndarray:
        """Lift frame ``index`` of each window.

        Args:
            keypoints: (P, T, 17, 2) pixels without gaps.
            camera: intrinsics of the images.
            index: 0 = oldest.

        Returns:
            (P, 17, 3) metres from the pelvis, camera optical frame.
        """


class Lifter:
    """Lifts everybody in view, frame by frame.

    Each person has a window of the newest frames, all windows go through the network in one batch, and the root solve
    places each pose in space. A window is full from the first frame on: before a person came, they are taken to have
    stood still. Joints or whole frames without keypoints are filled in by linear interpolation over the window; their
    confidence is 0. What is remembered is at most ``window`` frames of each person seen in them.

    Args:
        network: lifts windows.
        window: frames; None = as many as the network takes.
        lookahead: how many frames back the output lies; more make it more accurate, and later.

    Raises:
        ValueError: when the network does not take such a window, or the output does not lie inside it.
    """

    def __init__(self, network: LiftingNetwork, window: int | None = None, lookahead: int = 0) -> None:
        window = network.window if window is None else window
        if not 1 <= window <= network.window:
            raise ValueError(f"expected a window of 1 to {network.window} frames, what the network takes, got {window}")
        if not 0 <= lookahead < window:
            raise ValueError(f"expected a lookahead of 0 to {window - 1} frames, inside the window, got {lookahead}")
        self._network, self._lookahead = network, lookahead
        self.description = (
            f"{network.description}, window {window}, lookahead {lookahead}, scale {network.scale_source}"
        )
        self._moments: deque[_Moment] = deque(maxlen=window)

    def __call__(self, frame: Frame, people: Sequence[PersonKeypoints], flow: np.ndarray | None) -> LiftedFrame | None:
        """Lift the people seen ``lookahead`` frames back, given those of this frame.

        Returns:
            Their skeletons with that frame's stamp; None while no frame lies so far back. People of whom too little is
            seen to place them are left out.
        """
        seen = {person.id: person for person in people}
        self._moments.append(_Moment(frame.stamp_ns, frame.frame_id, frame.camera, seen))
        if len(self._moments) <= self._lookahead:
            return None
        moment = self._moments[-1 - self._lookahead]
        people_then = tuple(moment.people.values())
        return LiftedFrame(moment.stamp_ns, moment.frame_id, moment.camera, people_then, self._lift(moment))

    def reset(self) -> None:
        """Forget earlier frames."""
        self._moments.clear()

    def _lift(self, moment: _Moment) -> tuple[Skeleton3D, ...]:
        if not moment.people:
            return ()
        windows = np.stack([self._window(name) for name in moment.people])
        poses = self._network(windows, moment.camera, windows.shape[1] - 1 - self._lookahead)
        placed = (
            self._place(moment.camera, person, pose) for person, pose in zip(moment.people.values(), poses, strict=True)
        )
        return tuple(skeleton for skeleton in placed if skeleton is not None)

    def _window(self, name: str) -> np.ndarray:
        """(T, 17, 2) pixels of a person without gaps, oldest first."""
        missing = np.full((NUM_JOINTS, 2), np.nan)
        seen = np.stack([m.people[name].xy if name in m.people else missing for m in self._moments])
        seconds = np.array([m.stamp_ns - self._moments[-1].stamp_ns for m in self._moments]) * 1e-9
        filled = _fill_gaps(seen, seconds)
        before = np.repeat(filled[:1], (self._moments.maxlen or 0) - len(filled), axis=0)
        return np.concatenate([before, filled])

    def _place(self, camera: Camera, person: PersonKeypoints, pose: np.ndarray) -> Skeleton3D | None:
        weights = np.where(np.isfinite(person.xy).all(axis=1), person.confidence, 0.0)
        solution = solve_root(camera, person.xy, pose, weights)
        if solution.problem:
            return None
        return Skeleton3D(person.id, pose + solution.position, weights, self._network.scale_source)


@dataclass(frozen=True)
class _Moment:
    stamp_ns: int
    frame_id: str
    camera: Camera
    people: dict[str, PersonKeypoints]


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


class OfficialPoseMamba:
    """A published PoseMamba network as a ``LiftingNetwork``.

    Its input has no intrinsics and its output no scale: x, y and z are in one unit of the image (half its width). Each
    pose is scaled so that its limbs fit those of an average adult best (``skeleton.BONE_LENGTH_PRIOR``), hence
    ``scale_source`` "bone_prior": a child comes out too large and too far away.

    Args:
        model: from ``models.load_official_checkpoint``.
        flip_average: average over the mirror image; somewhat more accurate, at twice the cost.
        device: to run on.
    """

    scale_source = "bone_prior"

    def __init__(self, model: PoseMamba, flip_average: bool = False, device: str = "cpu") -> None:
        self._model = model.to(device)
        self._flip_average, self._device = flip_average, device
        self.window: int = model.config.window
        # Asking once also says aloud, where it must, that a slower backend takes over.
        backend = resolve_backend(model.config.scan_backend, torch.device(device), torch.float32)
        scan = backend.__name__.rpartition(".")[2]
        self.description = f"PoseMamba width {model.config.width} on {device}, scan {scan}"

    def __call__(self, keypoints: np.ndarray, camera: Camera, index: int) -> np.ndarray:
        """As ``LiftingNetwork``."""
        # As a camera without distortion would have seen them.
        straight = camera.rays(keypoints) @ camera.K[:2, :2].T + camera.K[:2, 2]
        pixels = torch.from_numpy(straight).to(self._device, torch.float32)
        windows = normalize_keypoints(pixels, camera.width, camera.height)
        with torch.inference_mode():
            poses = flip_average(self._model, windows) if self._flip_average else self._model(windows)
        pose = poses[:, index].double().cpu().numpy()
        return scale_to_adult(pose - pose[:, :1])


def scale_to_adult(poses: np.ndarray) -> np.ndarray:
    """Poses (P, 17, 3) of unknown scale -> metres: least squares of each pose's limb lengths to those of an adult."""
    ends = list(BONE_LENGTH_PRIOR)
    lengths = np.linalg.norm(poses[:, ends] - poses[:, [PARENTS[end] for end in ends]], axis=2)
    expected = np.array(list(BONE_LENGTH_PRIOR.values()))
    scale = (lengths @ expected) / np.maximum((lengths**2).sum(axis=1), 1e-12)
    return poses * scale[:, None, None]
