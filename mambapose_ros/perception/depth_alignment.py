"""Relative depth to metres, against the people whose distance is known from the root solve.

A relative depth network gives d, which is inverse depth up to scale and shift: 1/z = scale * d + shift (Ranftl et al.,
TPAMI 2022, section 5). Both are fitted to what is seen at the joints of skeletons, over the last frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from mambapose_ros.geometry import NEAREST_M, Camera
from mambapose_ros.perception.fusion import sample_depth, sample_radius
from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.types import DepthMap, Skeleton3D

FARTHEST_M = 50.0
"""What would be farther away than this is left unknown: people nearby say little about it."""

MEMORY_FRAMES = 30
"""Frames after which what was seen counts e times less."""

_LEAST_CONFIDENCE = 0.3  # of a joint; below, it is often hidden by something that is not the person
_LEAST_JOINTS = 6  # of a person
_NOT_HIDDEN = 0.65  # quantile of the joints' scales; what hides a joint is nearer, so hidden ones are at the low end
_ERROR = 0.03  # of a person's scale from frame to frame
_ALIKE_FRAMES = 5  # that count as one, since their errors are much the same
_SHIFTS = np.linspace(-0.3, 0.3, 61)  # 1/m; all that are considered
_SHIFT_DEVIATION = 0.1  # 1/m; where nothing else is known, what has d = 0 lies 10 m away or farther
_CONTRADICTION = 0.2  # logarithm by which a person's scale is off; when half are, this is not depth of these people
_ITERATIONS = 5  # of reweighting
_CAUCHY = 2.385  # of the residuals' standard deviation: 95 % efficient on Gaussian noise (Holland and Welsch, 1977)


class DepthAligner:
    """Turns the depth maps of a stream into metres; remembers what it learned of relative ones.

    Metric depth is passed on, its invalid values as NaN. Relative depth needs people. One who stands still fixes depth
    about them, and what is much nearer or farther only roughly: the shift is taken to be near zero until people have
    been seen at several distances. Joints that something hides, up to two thirds of a person's, do not matter.
    """

    def __init__(self) -> None:
        self._frames: deque[list[np.ndarray]] = deque(maxlen=3 * MEMORY_FRAMES)
        self._kind: tuple[str, tuple[int, ...]] | None = None

    def __call__(self, depth: DepthMap, skeletons: Sequence[Skeleton3D], camera: Camera) -> np.ndarray | None:
        """Depth in metres.

        Args:
            depth: of an image.
            skeletons: the people in the same image, camera optical frame. Those without a scale, or not seen in the
                image, are not used.
            camera: of the image.

        Returns:
            (H, W) float32 metres along the optical axis, NaN = unknown; None while too little was seen of people to
            tell.
        """
        values = depth.values
        if depth.metric:
            return np.where(np.isfinite(values) & (values > 0.0), values, np.nan).astype(np.float32)
        kind = (depth.source, values.shape)
        if kind != self._kind:
            self.reset()
            self._kind = kind
        scales = (_log_scales(depth, person, camera) for person in skeletons)
        if people := [scale for scale in scales if scale is not None]:
            self._frames.append(people)
        fit = _fit(self._frames)
        if fit is None:
            return None
        scale, shift = fit
        inverse = (scale * values + shift).astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = (inverse > 1.0 / FARTHEST_M) & (inverse < 1.0 / NEAREST_M)
            return np.where(known, 1.0 / inverse, np.float32(np.nan))

    def reset(self) -> None:
        """Forget earlier frames: what comes next does not follow them."""
        self._frames.clear()


def _log_scales(depth: DepthMap, person: Skeleton3D, camera: Camera) -> np.ndarray | None:
    """(61,) logarithm of the scale (1/z - shift) / d that a person tells for each of ``_SHIFTS``; NaN = impossible."""
    if person.scale_source == "none" or person.state in ("predicted", "lost"):
        return None
    xy = camera.project(person.joints)
    seen = sample_depth(depth, xy, sample_radius(xy))
    skin = person.joints[:, 2] - JOINT_RADIUS_M
    # Zero is infinitely far away to a network that gives inverse depth.
    used = (seen > 0.0) & (skin > NEAREST_M) & (person.confidence >= _LEAST_CONFIDENCE)
    if used.sum() < _LEAST_JOINTS:
        return None
    inverse = 1.0 / skin[used][:, None]
    scale = np.quantile((inverse - _SHIFTS) / seen[used][:, None], _NOT_HIDDEN, axis=0)
    possible = 0.9 * inverse.min() > _SHIFTS
    return np.log(np.where(possible, scale, np.nan))


def _fit(frames: Sequence[Sequence[np.ndarray]]) -> tuple[float, float] | None:
    """Scale and shift; None when no pair of them explains what was seen.

    The better the scales of all people in all frames agree for a shift, the likelier the shift. A regression of 1/z on
    d would do worse: it takes d's flicker about a person who stands still for depth that does not depend on d.
    """
    if not frames:
        return None
    ages = [age for age, frame in enumerate(reversed(frames)) for _ in frame]
    logs = np.stack([person for frame in reversed(frames) for person in frame])  # (N, 61)
    trust = np.exp(-np.array(ages) / MEMORY_FRAMES)[:, None] / _ALIKE_FRAMES
    possible = np.isfinite(logs).all(axis=0)
    shifts, logs = _SHIFTS[possible], logs[:, possible]
    middle = _weighted_median(logs, trust)
    for _ in range(_ITERATIONS):
        weight = trust / (1.0 + ((logs - middle) / (_CAUCHY * _ERROR)) ** 2)
        middle = (weight * logs).sum(axis=0) / weight.sum(axis=0)
    off = np.abs(logs - middle)
    unlikeliness = (trust * 0.5 * _CAUCHY**2 * np.log1p((off / (_CAUCHY * _ERROR)) ** 2)).sum(axis=0)
    unlikeliness += 0.5 * (shifts / _SHIFT_DEVIATION) ** 2
    likelihood = np.exp(unlikeliness.min() - unlikeliness)
    shift = float(likelihood @ shifts / likelihood.sum())
    agreeing = (trust * (off < _CONTRADICTION)).sum(axis=0) / trust.sum()
    if np.interp(shift, shifts, agreeing) <= 0.5:
        return None
    return float(np.exp(np.interp(shift, shifts, middle))), shift


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each column of (N, S) ``values``, with (N, 1) ``weights``."""
    order = np.argsort(values, axis=0)
    passed = np.cumsum(weights[order, 0], axis=0)
    half = (passed < 0.5 * passed[-1]).sum(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, half[None], axis=0), axis=0)[0]
