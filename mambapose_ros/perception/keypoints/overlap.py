"""How much of what was found as a person lies on somebody else."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import BONES
from mambapose_ros.types import PersonKeypoints

_LIMB = 0.06  # from the middle of a limb to its surface, as a fraction of a person's size


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
