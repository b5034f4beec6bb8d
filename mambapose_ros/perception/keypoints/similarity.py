"""How alike two finds are, and whether they are one person seen twice."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import BONES
from mambapose_ros.types import PersonKeypoints

_SPREAD = 0.08
"""Standard deviation of a joint over annotators and detectors, as a fraction of the person's size: between that of the
wrists (0.062) and the hips (0.107) in COCO's keypoint evaluation."""


_LIMB = 0.06  # from the middle of a limb to its surface, as a fraction of a person's size


def keypoint_similarity(a: PersonKeypoints, b: PersonKeypoints) -> float:
    """Object-keypoint similarity (COCO keypoint evaluation) in [0, 1], over the joints that both have; 0 without any.

    The size is that of the smaller person, so that somebody small is not taken for a part of somebody large.
    """
    distance = np.linalg.norm(a.xy - b.xy, axis=1)
    common = np.isfinite(distance)
    if not common.any():
        return 0.0
    size = max(1.0, min(_size(a), _size(b)))
    return float(np.exp(-0.5 * (distance[common] / (2.0 * _SPREAD * size)) ** 2).mean())


def share_on_body(person: PersonKeypoints, other: PersonKeypoints) -> float:
    """Share of a person's joints, weighted by confidence, that lie on somebody else's limbs or trunk; in [0, 1].

    Large when a part of somebody is taken for somebody, however small.
    """
    bones = np.array(BONES)
    start, end = other.xy[bones[:, 0]], other.xy[bones[:, 1]]
    x0, y0, x1, y1 = other.box
    reach = _LIMB * max(x1 - x0, y1 - y0)
    along = end - start
    offset = person.xy[:, None] - start
    position = (offset * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), 1e-9)
    distance = np.linalg.norm(offset - position.clip(0.0, 1.0)[..., None] * along, axis=-1)
    there = np.isfinite(person.xy).all(axis=1) & (person.confidence > 0.0)
    on = (distance <= reach).any(axis=1)  # NaN is not
    total = float(person.confidence[there].sum())
    return float(person.confidence[there & on].sum()) / total if total else 0.0


def share_in_box(person: PersonKeypoints, other: PersonKeypoints) -> float:
    """Share of the area of a person's box that lies in somebody else's; in [0, 1]."""
    x0, y0, x1, y1 = person.box
    u0, v0, u1, v1 = other.box
    width, height = max(x1 - x0, 1e-9), max(y1 - y0, 1e-9)
    common = max(0.0, min(x1, u1) - max(x0, u0)) * max(0.0, min(y1, v1) - max(y0, v0))
    return common / (width * height)


def _size(person: PersonKeypoints) -> float:
    """Square root of the area around the joints that are there, pixels; at least a fifth of its longer side squared."""
    x0, y0, x1, y1 = person.box
    longer, shorter = max(x1 - x0, y1 - y0), min(x1 - x0, y1 - y0)
    return float(np.sqrt(longer * max(shorter, 0.2 * longer)))
