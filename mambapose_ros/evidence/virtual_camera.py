"""The person-centred virtual camera: one rotation and one scale per window.

Turning a camera about its own centre changes which pixel shows what, but not what is seen. So each window is looked at
as a camera turned at the person would have seen it, in a unit of the person's angular size: position in the image,
image size and intrinsics drop out (the perspective crops of Yu et al., PCLs, CVPR 2021, for windows). All frames of a
window share rotation and scale, which keeps the motion intact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ITERATIONS = 2  # of reweighting; gross errors are far out, so that few are enough
_SMALLEST_SIZE = 1e-3  # radians; a body seen smaller is a point
_SMALLEST_DEPTH = 0.05  # of a unit vector along the axis: rays are kept within 87 degrees of it
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class VirtualCamera:
    """Where the virtual cameras of P windows look, and the unit of their images.

    Attributes:
        rotation: (P, 3, 3) float32, from the camera's optical frame to the virtual one; its rows are the virtual axes.
            x stays in the camera's horizontal plane, so that a level camera stays level.
        size: (P,) float32, radians: root mean square angle between the joints and their centre, about 0.5 m divided by
            the distance of a standing adult. The unit of ``normalize``.
    """

    rotation: np.ndarray
    size: np.ndarray

    def normalize(self, rays: np.ndarray) -> np.ndarray:
        """Rays (P, T, J, 2) on the camera's plane z = 1 -> where the virtual camera sees them, in units of ``size``."""
        seen = _apply(self.rotation, rays)
        depth = np.maximum(seen[..., 2:], _SMALLEST_DEPTH) * self.size[:, None, None, None]
        return seen[..., :2] / depth

    def stretch(self, rays: np.ndarray) -> np.ndarray:
        """(P, T, J): depth along the virtual axis per depth along the camera's, for rays (P, T, J, 2)."""
        row = self.rotation[:, None, None, 2]
        return rays[..., 0] * row[..., 0] + rays[..., 1] * row[..., 1] + row[..., 2]

    def to_virtual(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (P, ..., 3), any unit, from the camera's axes to the virtual ones."""
        return _rotate(vectors, self.rotation.swapaxes(1, 2))

    def to_camera(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (P, ..., 3), any unit, e.g. root-relative metres, back to the camera's axes."""
        return _rotate(vectors, self.rotation)


def aim(rays: np.ndarray, confidence: np.ndarray) -> VirtualCamera:
    """Turn a virtual camera at the person of each window.

    Centre and size are those of the joints' directions on the unit sphere (Mardia and Jupp, Directional Statistics,
    2000), weighted by confidence and, against gross errors, by a Cauchy weight of the distance from the centre. So
    they do not depend on how the camera is turned.

    Args:
        rays: (P, T, J, 2) where viewing rays meet the plane z = 1, as of ``Camera.rays``; NaN = missing.
        confidence: (P, T, J) in [0, 1]; 0 = missing.

    Returns:
        The cameras. A window without joints looks along the optical axis, with the smallest size.
    """
    people, frames, joints = confidence.shape
    certain = np.where(is_known(rays), confidence, 0.0).astype(np.float32)
    directions = np.empty((people, frames, joints, 3), np.float32)
    directions[..., :2] = np.where(certain[..., None] > 0, rays, 0.0)
    directions[..., 2] = 1.0
    directions /= np.sqrt(np.einsum("ptjc,ptjc->ptj", directions, directions))[..., None]

    flat = directions.reshape(people, frames * joints, 3)
    weight = certain
    for _ in range(_ITERATIONS):
        centre = _unit((weight.reshape(people, 1, -1) @ flat)[:, 0])
        squared = np.maximum(2.0 - 2.0 * (flat @ centre[:, :, None]).reshape(certain.shape), 0.0)
        spread = (weight * squared).sum(axis=(1, 2)) / (weight.sum(axis=(1, 2)) + _TINY)
        weight = certain / (1.0 + squared / (4.0 * spread[:, None, None] + _TINY))
    centre = _unit((weight.reshape(people, 1, -1) @ flat)[:, 0])
    return VirtualCamera(_look_along(centre), _angular_size(directions, weight))


def is_known(rays: np.ndarray) -> np.ndarray:
    """Which of rays (..., 2) are not NaN, (...) bool."""
    return np.isfinite(rays[..., 0] + rays[..., 1])


def _angular_size(directions: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(P,) root mean square distance of the joints from their centre in each frame, so that walking does not count."""
    per_frame = weight.sum(axis=2)
    resultant = (weight[:, :, None] @ directions)[:, :, 0]
    shortening = per_frame - (resultant**2).sum(axis=2) / (per_frame + _TINY)
    variance = shortening.sum(axis=1) / (per_frame.sum(axis=1) + _TINY)
    return np.sqrt(np.maximum(variance, _SMALLEST_SIZE**2)).astype(np.float32)


def _look_along(axis: np.ndarray) -> np.ndarray:
    """(P, 3, 3) rotations whose z axis is ``axis`` (P, 3) and whose x axis lies in the plane y = 0."""
    x = _unit(np.stack([axis[:, 2], np.zeros_like(axis[:, 0]), -axis[:, 0]], axis=1))
    return np.stack([x, np.cross(axis, x), axis], axis=1).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (P, 3) of length 1; the optical axis in place of a zero vector."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > _TINY, vectors / np.maximum(length, _TINY), np.array([0.0, 0.0, 1.0], np.float32))


def _apply(rotation: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Rays (P, T, J, 2), taken as points with z = 1, rotated: (P, T, J, 3)."""
    people = len(rays)
    turned = rays.reshape(people, -1, 2) @ rotation[:, :, :2].swapaxes(1, 2) + rotation[:, None, :, 2]
    return turned.reshape(*rays.shape[:-1], 3)


def _rotate(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Row vectors (P, ..., 3) times (P, 3, 3)."""
    return (vectors.reshape(len(vectors), -1, 3) @ matrix).reshape(vectors.shape)
