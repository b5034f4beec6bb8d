"""The network's input, channel by channel, and how it comes from what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mambapose_ros.evidence.virtual_camera import VirtualCamera, aim, is_known
from mambapose_ros.skeleton import FLIP

if TYPE_CHECKING:
    from torch import Tensor

_Evidence = TypeVar("_Evidence", np.ndarray, "Tensor")

TYPICAL_SIZE = 0.15
"""Radians: angular size of an adult some 3 m away; where the size channel is zero."""

TYPICAL_EXTENT_M = 0.5
"""Metres: root mean square distance of a standing adult's joints from their centre; where the extent is zero."""

TYPICAL_INTERVAL_S = 1 / 30
"""Seconds: where the interval channel is zero."""

INTERVAL_LIMITS_S = (1 / 240, 0.25)
"""Seconds: what training knows, and a little more. A longer pause is told as this one, or the network would answer
wildly: after 0.9 s the newest poses of people it has not seen were 185 mm off, and are 144 mm off."""

_LIMIT = 8.0  # units; further out are only gross errors
_TINY = 1e-12


class Channel(IntEnum):
    """Channels of the evidence array. Values that are missing are 0, and so is their validity.

    One unit is the person's angular size (``VirtualCamera.size``), so a standing adult is about 3.5 units tall; x is to
    the right and y down in the virtual camera. Coordinates, motions and depths are clipped to 8 units.
    """

    X = 0
    """Position of the joint, units."""
    Y = 1
    """Position of the joint, units."""
    CONFIDENCE = 2
    """The detector's, in [0, 1]."""
    PRESENT = 3
    """1 = the joint was detected in this frame."""
    FLOW_X = 4
    """How far the point seen at the joint has moved since the previous frame, units."""
    FLOW_Y = 5
    """How far the point seen at the joint has moved since the previous frame, units."""
    FLOW_VALID = 6
    """1 = flow is known here."""
    DEPTH = 7
    """How much farther the point seen at the joint is than the middle of the person in this frame. Metric depth: along
    the virtual axis, in the same unit as x and y. Relative depth: in units of the mean deviation over the window."""
    DEPTH_VALID = 8
    """1 = depth is known here."""
    DEPTH_METRIC = 9
    """1 = depth comes from a sensor, in metres; 0 = relative or none. The same in the whole window."""
    EXTENT = 10
    """Log of how large one unit is at the person's distance, over ``TYPICAL_EXTENT_M``; 0 without metric depth. The
    same in the whole window."""
    PLANE_DEPTH = 11
    """Relative depth is measured along the camera's axis, not the virtual one, so a flat body beside the image centre
    is nearer on one side: this is the depth, in units, that x and y alone give the joint; 0 without relative depth."""
    SIZE = 12
    """Log of the angular size over ``TYPICAL_SIZE``: how strong perspective is. The same in the whole window."""
    INTERVAL = 13
    """Log of the time since the previous frame, within ``INTERVAL_LIMITS_S``, over ``TYPICAL_INTERVAL_S``."""


NUM_CHANNELS = len(Channel)


@dataclass(frozen=True, eq=False)
class Observations:
    """What is known of P people over windows of T frames, oldest first, in one camera's optical frame.

    Attributes:
        rays: (P, T, 17, 2) where the joints' viewing rays meet the plane z = 1 (``Camera.rays``); NaN = missing.
        confidence: (P, T, 17) in [0, 1]; 0 = missing.
        interval: (P, T) seconds since the previous frame, above zero; for the first frame the usual interval.
        previous_rays: (P, T, 17, 2) the same for the pixel where the point now seen at the joint was one frame before,
            i.e. ``Camera.rays(xy - flow)``; NaN = unknown. None = no flow.
        depth: (P, T, 17) at the joint's pixel, NaN = unknown: metres along the optical axis where ``metric``, else
            inverse depth of any scale and shift, larger = nearer. None = no depth.
        metric: (P,) bool, whether ``depth`` is in metres. None = it is not.
    """

    rays: np.ndarray
    confidence: np.ndarray
    interval: np.ndarray
    previous_rays: np.ndarray | None = None
    depth: np.ndarray | None = None
    metric: np.ndarray | None = None


def build_evidence(observations: Observations) -> tuple[np.ndarray, VirtualCamera]:
    """Observations as the network's input.

    Returns:
        (P, T, 17, ``NUM_CHANNELS``) float32 without NaN, and the virtual cameras that it is seen through. The network's
        answer, root-relative metres in their axes, is turned back by ``VirtualCamera.to_camera``.
    """
    rays = np.asarray(observations.rays, dtype=np.float32)
    confidence = np.asarray(observations.confidence, dtype=np.float32)
    interval = np.clip(observations.interval, *INTERVAL_LIMITS_S)
    present = is_known(rays) & (confidence > 0)
    camera = aim(rays, confidence)
    rays = np.where(present[..., None], rays, 0.0)
    xy = camera.normalize(rays)

    evidence = np.zeros((*present.shape, NUM_CHANNELS), np.float32)
    _fill(evidence, Channel.X, xy[..., 0], present)
    _fill(evidence, Channel.Y, xy[..., 1], present)
    evidence[..., Channel.CONFIDENCE] = np.where(present, confidence, 0.0)
    evidence[..., Channel.PRESENT] = present
    evidence[..., Channel.SIZE] = np.log(camera.size / TYPICAL_SIZE)[:, None, None]
    evidence[..., Channel.INTERVAL] = np.log(interval / TYPICAL_INTERVAL_S)[..., None]
    if observations.previous_rays is not None:
        previous = np.asarray(observations.previous_rays, dtype=np.float32)
        known = is_known(previous) & present
        motion = xy - camera.normalize(np.where(known[..., None], previous, 0.0))
        _fill(evidence, Channel.FLOW_X, motion[..., 0], known)
        _fill(evidence, Channel.FLOW_Y, motion[..., 1], known)
        evidence[..., Channel.FLOW_VALID] = known
    if observations.depth is not None:
        metric = np.zeros(len(rays), dtype=bool) if observations.metric is None else observations.metric
        _add_depth(evidence, camera, rays, np.asarray(observations.depth, dtype=np.float32), metric)
    return evidence, camera


def mirror_evidence(evidence: _Evidence) -> _Evidence:
    """The evidence (..., 17, C) of the mirrored scene: x negated, left and right joints exchanged."""
    mirrored = evidence[..., list(FLIP), :]
    mirrored[..., [Channel.X, Channel.FLOW_X]] *= -1.0
    return mirrored


def _fill(evidence: np.ndarray, channel: Channel, values: np.ndarray, valid: np.ndarray) -> None:
    """Write values (P, T, 17) where they are valid, within the limit."""
    evidence[..., channel] = np.where(valid, np.clip(values, -_LIMIT, _LIMIT), 0.0)


def _add_depth(
    evidence: np.ndarray, camera: VirtualCamera, rays: np.ndarray, depth: np.ndarray, metric: np.ndarray
) -> None:
    """Depth relative to the person's middle in each frame, which removes the unknown shift of each frame.

    The unknown scale is removed per window, not per frame: it varies slowly, and a frame in which the person is flat
    tells nothing of it.
    """
    is_metric = metric[:, None, None]
    farther = np.where(is_metric, depth * camera.stretch(rays), -depth)
    valid = np.isfinite(farther) & (evidence[..., Channel.PRESENT] > 0)
    valid &= ~is_metric | (farther > 0)
    farther = np.where(valid, farther, 0.0)
    middle, deviation = _robust_middle(farther, np.where(valid, evidence[..., Channel.CONFIDENCE], 0.0))
    extent = np.where(metric, _mean_where(middle, valid.any(axis=2)) * camera.size, 0.0)
    unit = np.where(metric, extent, deviation)
    _fill(evidence, Channel.DEPTH, (farther - middle[..., None]) / (unit[:, None, None] + _TINY), valid)

    known = valid.any(axis=(1, 2))
    relative = (known & ~metric)[:, None, None]
    log_extent = np.log(np.where(extent > 0, extent, TYPICAL_EXTENT_M) / TYPICAL_EXTENT_M)
    evidence[..., Channel.DEPTH_VALID] = valid
    evidence[..., Channel.DEPTH_METRIC] = (known & metric)[:, None, None]
    evidence[..., Channel.EXTENT] = log_extent[:, None, None]
    axis = camera.rotation[:, None, None, :, 2]
    plane = evidence[..., Channel.X] * axis[..., 0] + evidence[..., Channel.Y] * axis[..., 1]
    evidence[..., Channel.PLANE_DEPTH] = np.where(relative, plane, 0.0)


def _robust_middle(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle per frame (P, T) and mean absolute deviation per window (P,) of values (P, T, J).

    One step of reweighting by a Cauchy weight keeps a joint at which the background was measured from pulling them.
    """

    def middle_and_deviation(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle = (weight * values).sum(axis=2) / (weight.sum(axis=2) + _TINY)
        deviation = (weight * np.abs(values - middle[..., None])).sum(axis=(1, 2))
        return middle, deviation / (weight.sum(axis=(1, 2)) + _TINY)

    middle, deviation = middle_and_deviation(weight)
    far = (values - middle[..., None]) / (2.0 * deviation[:, None, None] + _TINY)
    return middle_and_deviation(weight / (1.0 + far**2))


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(P,) mean of values (P, T) over the frames that count; 0 without any."""
    return (values * where).sum(axis=1) / np.maximum(where.sum(axis=1), 1)
