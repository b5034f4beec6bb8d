"""Cameras: projection with distortion, viewing rays, camera_calibration's files; and where a seen body stands.

Conventions (REP-103): metres; optical frame with x right, y down, z forward; pixel (0, 0) is the centre of the top
left pixel. Distortion models and coefficient order are those of ``sensor_msgs/CameraInfo``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mambapose_ros.errors import UserError

DISTORTION_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Distortion models, and how many coefficients each may have."""

ASSUMED_HORIZONTAL_FOV = math.radians(60.0)
"""Field of view taken for a camera that tells nothing of itself; most webcams have 55-70 degrees."""


class CameraError(UserError, ValueError):
    """Intrinsics that do not describe a camera; the message says what was expected."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one camera.

    Attributes:
        width, height: image size in pixels.
        K: (3, 3) pinhole matrix, pixels.
        distortion_model: a key of ``DISTORTION_COEFFICIENTS``.
        D: (n,) its coefficients; empty = no distortion.
        assumed: True when the intrinsics are a guess, and metric results therefore are too.
    """

    width: int
    height: int
    K: np.ndarray
    distortion_model: str = "plumb_bob"
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))
    assumed: bool = False

    def __post_init__(self) -> None:
        K = np.array(self.K, dtype=np.float64)
        D = np.array(self.D, dtype=np.float64).reshape(-1)
        if self.width <= 0 or self.height <= 0:
            raise CameraError(f"expected a positive image size, got {self.width}x{self.height}")
        if K.size != 9 or not np.isfinite(K).all():
            raise CameraError(f"expected K to hold 9 finite numbers, got {K.size}: {K.reshape(-1)}")
        K = K.reshape(3, 3)
        if not (K[0, 0] > 0 and K[1, 1] > 0):
            raise CameraError(
                f"expected positive focal lengths, got fx={K[0, 0]:g}, fy={K[1, 1]:g}: the camera is not calibrated"
            )
        if self.distortion_model not in DISTORTION_COEFFICIENTS:
            raise CameraError(
                f"expected a distortion model of {sorted(DISTORTION_COEFFICIENTS)}, got {self.distortion_model!r}"
            )
        if D.size and D.size not in DISTORTION_COEFFICIENTS[self.distortion_model]:
            raise CameraError(
                f"expected {DISTORTION_COEFFICIENTS[self.distortion_model]} coefficients for "
                f"{self.distortion_model}, got {D.size}"
            )
        if not np.isfinite(D).all():
            raise CameraError(f"expected finite distortion coefficients, got {D}")
        if self.distortion_model == "equidistant" and not D.size:
            D = np.zeros(4)
        for name, array in (("K", K), ("D", D)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Camera):
            return NotImplemented
        same = ("width", "height", "distortion_model", "assumed")
        return (
            all(getattr(self, name) == getattr(other, name) for name in same)
            and np.array_equal(self.K, other.K)
            and np.array_equal(self.D, other.D)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_fov(
        cls, width: int, height: int, horizontal_fov: float = ASSUMED_HORIZONTAL_FOV, *, assumed: bool = False
    ) -> Camera:
        """Pinhole camera with square pixels and its principal point in the middle; ``horizontal_fov`` in radians."""
        f = 0.5 * width / math.tan(0.5 * horizontal_fov)
        K = np.array([[f, 0.0, 0.5 * (width - 1)], [0.0, f, 0.5 * (height - 1)], [0.0, 0.0, 1.0]])
        return cls(width, height, K, assumed=assumed)

    @property
    def has_distortion(self) -> bool:
        # Fisheye lenses bend rays even when all coefficients are zero.
        return bool(self.D.any()) or self.distortion_model == "equidistant"

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with its image scaled to another size."""
        sx, sy = width / self.width, height / self.height
        # Pixel centres lie on whole numbers, so the image's corner, at -0.5, is what stays in place.
        scale = np.array([[sx, 0.0, 0.5 * (sx - 1.0)], [0.0, sy, 0.5 * (sy - 1.0)], [0.0, 0.0, 1.0]])
        return replace(self, width=width, height=height, K=scale @ self.K)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in metres, optical frame -> pixels (..., 2); NaN for points not in front of the camera."""
        points = np.asarray(points, dtype=np.float64)
        z = points[..., 2:]
        in_front = z > 0
        normalized = points[..., :2] / np.where(in_front, z, 1.0)
        pixels = self._distort(normalized) @ self.K[:2, :2].T + self.K[:2, 2]
        return np.where(in_front, pixels, np.nan)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) -> points (..., 2) where their viewing rays meet the plane z = 1 m.

        NaN stays NaN, and so is a pixel that no ray in front of the lens leads to: the distortion model says nothing of
        it, as beyond the edge of a wide lens.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        if not self.has_distortion:
            return (pixels - self.K[:2, 2]) @ np.linalg.inv(self.K[:2, :2]).T
        import cv2

        flat = pixels.reshape(-1, 1, 2)
        known = np.isfinite(flat).all(axis=2)[:, 0]
        rays = np.full(flat.shape, np.nan)
        if known.any():
            criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-10)
            if self.distortion_model == "equidistant":
                rays[known] = cv2.fisheye.undistortPoints(flat[known], self.K, self.D, criteria=criteria)
            else:
                rays[known] = cv2.undistortPointsIter(flat[known], self.K, self.D, np.eye(3), np.eye(3), criteria)
            # OpenCV's solvers answer in any case.
            rays[~(np.hypot(rays[..., 0], rays[..., 1]) < _WIDEST_RAY)] = np.nan
            missed = self._distort(rays) @ self.K[:2, :2].T + self.K[:2, 2] - flat
            rays[~(np.hypot(missed[..., 0], missed[..., 1]) < _RAY_TOLERANCE_PX)] = np.nan
        return rays.reshape(pixels.shape)

    def _distort(self, normalized: np.ndarray) -> np.ndarray:
        """Points (..., 2) on the plane z = 1 -> where the lens puts them on it."""
        if not self.has_distortion:
            return normalized
        import cv2

        flat = normalized.reshape(-1, 1, 2)
        if self.distortion_model == "equidistant":
            bent = cv2.fisheye.distortPoints(flat, np.eye(3), self.D)
        else:
            points = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=2)
            bent, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), self.D)
        return bent.reshape(normalized.shape)


_WIDEST_RAY = math.tan(math.radians(85.0))  # beyond, the plane z = 1 is a bad place to describe rays on
_RAY_TOLERANCE_PX = 1.0

NEAREST_M = 0.1
"""A joint nearer to the camera than this is not seen, so a solution that puts it there is wrong."""

_ROOT_ITERATIONS = 10
_CAUCHY = 2.385  # of the residuals' standard deviation: 95 % efficient on Gaussian noise (Holland and Welsch 1977)
_RAYLEIGH_MEDIAN = 1.1774  # of the length of an error in the image, in the standard deviation of its two parts
_FAR_OUT = 3.0  # times the joints' median distance from their middle: not likely a joint of the same body
_SMALLEST_SPREAD = 1e-3  # of rays, in units of the focal length; a body seen smaller has no measurable distance


@dataclass(frozen=True)
class RootSolution:
    """Where a body of known pose stands.

    Attributes:
        position: (3,) of the pelvis, metres, camera optical frame; NaN when it cannot be known.
        problem: why the position cannot be known; empty when it is.
    """

    position: np.ndarray
    problem: str = ""


def solve_root(camera: Camera, keypoints: np.ndarray, relative: np.ndarray, weights: np.ndarray) -> RootSolution:
    """Find the pelvis such that a root-relative pose projects onto its keypoints.

    Each joint at ``relative + position`` lies on its keypoint's viewing ray, which is two equations linear in the
    position; weighted least squares over all joints solves them. Rows are divided by the joint's depth of the last
    iteration, so that errors count as they are seen, in the image. Cauchy weights take away what outliers could do; at
    the start, which has no residuals yet, those count less that lie far from the other joints.

    Args:
        camera: intrinsics; keypoints are undistorted by its model.
        keypoints: (J, 2) pixels; NaN = missing.
        relative: (J, 3) metres from the pelvis, camera optical frame.
        weights: (J,) not negative, e.g. confidences; 0 = do not use.

    Returns:
        The solution. It has a ``problem`` when fewer than two joints are seen, when all lie on one ray, so that any
        distance explains them, and when the body would stand behind or in the camera.
    """
    rays = camera.rays(keypoints)
    used = np.isfinite(rays).all(axis=1) & np.isfinite(relative).all(axis=1) & (weights > 0)
    if used.sum() < 2:
        return _unsolved("fewer than two joints are seen")
    x, y, pose, weight = rays[used, 0], rays[used, 1], relative[used], weights[used]
    spread = np.ptp(rays[used], axis=0).max()
    if spread < _SMALLEST_SPREAD or np.ptp(pose, axis=0).max() == 0.0:
        return _unsolved("all joints lie on one ray")
    zeros, ones = np.zeros_like(x), np.ones_like(x)
    rows = np.stack([np.stack([ones, zeros, -x], axis=1), np.stack([zeros, ones, -y], axis=1)], axis=1)
    targets = np.stack([x * pose[:, 2] - pose[:, 0], y * pose[:, 2] - pose[:, 1]], axis=1)

    away = np.linalg.norm(rays[used] - np.median(rays[used], axis=0), axis=1)
    robust = 1.0 / (1.0 + (away / (_FAR_OUT * np.median(away) + _SMALLEST_SPREAD)) ** 4)
    depth = ones
    for _ in range(_ROOT_ITERATIONS):
        scale = np.sqrt(weight * robust) / depth
        position, *_ = np.linalg.lstsq(
            (rows * scale[:, None, None]).reshape(-1, 3), (targets * scale[:, None]).reshape(-1), rcond=None
        )
        depth = np.maximum(pose[:, 2] + position[2], NEAREST_M)
        error = np.linalg.norm(rows @ position - targets, axis=1) / depth
        limit = _CAUCHY * np.median(error) / _RAYLEIGH_MEDIAN + 1e-9
        robust = 1.0 / (1.0 + (error / limit) ** 2)
    if pose[:, 2].min() + position[2] < NEAREST_M:
        return _unsolved("the body would stand behind the camera")
    return RootSolution(position)


def _unsolved(problem: str) -> RootSolution:
    return RootSolution(np.full(3, np.nan), problem)


def load_camera(path: str | Path) -> Camera:
    """Read the YAML file that camera_calibration writes.

    Raises:
        CameraError: when the file is missing, is not such a file, or its numbers are not a camera's.
    """
    import yaml

    path = Path(path)
    expected = "expected a camera_calibration YAML with image_width, image_height and camera_matrix"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CameraError(f"cannot read the camera file {path}: {error}; {expected}") from error
    try:
        distortion = content.get("distortion_coefficients") or {}
        return Camera(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            K=np.asarray(content["camera_matrix"]["data"], dtype=np.float64),
            distortion_model=str(content.get("distortion_model") or "plumb_bob"),
            D=np.asarray(distortion.get("data") or [], dtype=np.float64),
        )
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CameraError(f"{path}: {expected}, got {type(error).__name__}: {error}") from error
