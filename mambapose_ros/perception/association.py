"""How alike people in two images are, and the likeliest assignment of those of one to those of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mambapose_ros.perception.boxes import box_iou
from mambapose_ros.perception.oks import OKS_SIGMAS, area_of, oks
from mambapose_ros.types import PersonKeypoints

_BOX_SHARE = 0.3  # of the likeness, what the boxes have to say
_LEAST_WEIGHT = 0.05  # of a joint, however unsure the detector is of it
_PLACE_SPREAD = 0.035  # standard deviation of the middle of the joints over the root of the area, from pose and errors
_POSE_SPREAD = 0.04  # standard deviation of the logarithm of a size, since a pose makes people look larger or smaller
_SIZE_JOINTS = 4  # fewer do not tell a size
_DUPLICATE = 0.8  # OKS: the detector found somebody twice
_CLOSE = 0.5  # OKS: it may have
_SAME_SIZE = 0.15  # difference of the logarithms of sizes that two detections of one person may have
_UNLIKELY = 10.0  # negative logarithm of a likeness, beyond which nobody is taken for somebody


@dataclass(frozen=True, eq=False)
class Expectation:
    """Somebody who may be seen.

    Attributes:
        person: as they would look.
        variance: (2,) of their place in the image, x and y, square pixels.
        size_variance: of the logarithm of their size in the image.
    """

    person: PersonKeypoints
    variance: np.ndarray
    size_variance: float


def without_duplicates(people: Sequence[PersonKeypoints]) -> list[PersonKeypoints]:
    """The most confident one of each group of detections that are nearly the same, most confident first."""
    kept: list[PersonKeypoints] = []
    for person in sorted(people, key=_rank):
        if all(oks(person, other) < _DUPLICATE for other in kept):
            kept.append(person)
    return kept


def newcomers(known: Sequence[PersonKeypoints], unknown: Sequence[PersonKeypoints]) -> list[PersonKeypoints]:
    """The unknown detections that are not so near to a known one, or to an earlier unknown one, and of so nearly the
    same size, that they may be the same person found twice."""
    new: list[PersonKeypoints] = []
    for person in unknown:
        near = [other for other in (*known, *new) if oks(person, other) >= _CLOSE]
        if not any(abs(np.log(relative_size(person.xy, other.xy))) < _SAME_SIZE for other in near):
            new.append(person)
    return new


def likeness(people: Sequence[PersonKeypoints], expected: Sequence[Expectation]) -> np.ndarray:
    """How well each detection is what was expected of each person.

    It is the OKS to be expected and the overlap of the boxes, which stays when a detector mixes up left and right. Less
    likely is who is off as a whole, by more than the place is uncertain, which the joints' own variances would let
    pass; and who looks larger or smaller than can be.

    Args:
        people: N detections.
        expected: M people.

    Returns:
        (N, M) in [0, 1].
    """
    if not people or not expected:
        return np.zeros((len(people), len(expected)))
    others = [one.person for one in expected]
    xy, expected_xy = (np.stack([person.xy for person in group]) for group in (people, others))
    boxes, expected_boxes = (np.array([person.box for person in group]) for group in (people, others))
    confidence, expected_confidence = (np.stack([person.confidence for person in group]) for group in (people, others))
    area = np.maximum(area_of(boxes)[:, None], area_of(expected_boxes))
    place = np.stack([one.variance for one in expected])

    offset = xy[:, None] - expected_xy
    common = np.isfinite(offset).all(axis=3)
    offset = np.where(common[..., None], offset, 0.0)
    weight = np.nan_to_num(np.minimum(confidence[:, None], expected_confidence))
    weight = np.maximum(weight, _LEAST_WEIGHT) * common
    total = np.maximum(weight.sum(axis=2), _LEAST_WEIGHT)
    joints = (weight * expected_oks(offset, area, place)).sum(axis=2) / total
    overlap = box_iou(boxes[:, None], expected_boxes) * expected_oks(np.zeros_like(offset), area, place).mean(axis=2)
    middle = (weight[..., None] * offset).sum(axis=2) / total[..., None]
    same_place = _tail((middle**2 / (place + (area * _PLACE_SPREAD**2)[..., None])).sum(axis=2))
    change = np.log(relative_size(xy[:, None], expected_xy))
    same_size = _tail(change**2 / (np.array([one.size_variance for one in expected]) + _POSE_SPREAD**2))
    return ((1.0 - _BOX_SHARE) * joints + _BOX_SHARE * overlap) * same_place * same_size


def expected_oks(offset: np.ndarray, area: np.ndarray, place: np.ndarray) -> np.ndarray:
    """OKS of each joint where it is not known well where the person is: its mean over all places the person may be at.

    Per axis, with an OKS variance v, of a place with variance P, at a distance d from where it is expected, that is
    sqrt(v / (v + P)) exp(-d^2 / 2 (v + P)). So who is sure to be near goes before somebody who may be anywhere.

    Args:
        offset: (..., 17, 2) pixels from where joints are expected.
        area: (...) square pixels of the person.
        place: (..., 2) variance of the place, x and y, square pixels.

    Returns:
        (..., 17) in [0, 1].
    """
    sharp = (area[..., None] * (2.0 * OKS_SIGMAS) ** 2)[..., None]
    wide = sharp + place[..., None, :]
    return np.sqrt(sharp / wide).prod(axis=-1) * np.exp(-0.5 * (offset**2 / wide).sum(axis=-1))


def _tail(squared: np.ndarray) -> np.ndarray:
    """Likelihood, 1 at most, of a deviation squared over its variance: with a heavy tail, since people also jump, sit
    down and stop."""
    return 1.0 / (1.0 + 0.5 * squared)


def relative_size(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How much larger people (..., 17, 2) are than others, by how far apart the joints lie that both have.

    Returns:
        (...) above 0; 1 where they have too few joints in common to tell.
    """
    a, b = np.broadcast_arrays(a, b)
    common = np.isfinite(a + b).all(axis=-1, keepdims=True)
    count = common.sum(axis=-2, keepdims=True)
    extents = []
    for xy in (a, b):
        known = np.where(common, xy, 0.0)
        away = np.where(common, known - known.sum(axis=-2, keepdims=True) / np.maximum(count, 1), 0.0)
        extents.append(np.sqrt((away**2).sum(axis=(-2, -1)) / np.maximum(count[..., 0, 0], 1)))
    ratio = np.maximum(extents[0], 1.0) / np.maximum(extents[1], 1.0)
    return np.where(count[..., 0, 0] < _SIZE_JOINTS, 1.0, ratio)


def assign(likenesses: np.ndarray) -> dict[int, int]:
    """The likeliest assignment of rows to columns, by the Hungarian method.

    Staying alone costs as much as the least likeness allowed, so nobody is taken for somebody else only to leave a
    partner for a third.

    Args:
        likenesses: (N, M) in [0, 1].

    Returns:
        Row -> column, of those that are not alone.
    """
    from scipy.optimize import linear_sum_assignment

    cost = np.minimum(-np.log(np.maximum(likenesses, 1e-30)), _UNLIKELY)
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < _UNLIKELY}


def _rank(person: PersonKeypoints) -> tuple[float, ...]:
    """Sorts by falling confidence, and equally confident ones by place: the order they come in does not matter."""
    return (-float(np.nan_to_num(person.confidence).mean()), *np.nan_to_num(person.xy).ravel())
