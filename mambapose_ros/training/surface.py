"""What a camera sees where a joint is: the body's surface, which may be that of another limb.

The body is a set of capsules around its bones, tested in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, JOINT_RADIUS_M
from mambapose_ros.training.cameras import project

_CAPSULES = (
    ("right_hip", "right_shoulder", 0.11),
    ("left_hip", "left_shoulder", 0.11),
    ("neck", "head", 0.09),
    *(
        (f"{side}_{start}", f"{side}_{end}", radius)
        for side in ("left", "right")
        for start, end, radius in (
            ("shoulder", "elbow", 0.045),
            ("elbow", "wrist", 0.04),
            ("hip", "knee", 0.075),
            ("knee", "ankle", 0.055),
        )
    ),
)
"""Bones with flesh, and its thickness in metres on an average adult."""

_CAPSULE_ENDS = np.array([(JOINT_INDEX[start], JOINT_INDEX[end]) for start, end, _ in _CAPSULES])

_CLEARANCE_M = 0.05  # What hides a joint lies at least this far in front of its own skin.


@dataclass(frozen=True)
class Surface:
    """The surface seen at each of the 17 joints of B windows of F frames.

    Attributes:
        depth: (B, F, 17) float32 metres along the optical axis.
        occluded: (B, F, 17) bool, the surface is that of another part of the body.
        motion: (B, F, 17, 2) float32, how far the point seen has moved on the plane z = 1 since the frame before, in
            the camera's view; 0 in the first frame.
    """

    depth: np.ndarray
    occluded: np.ndarray
    motion: np.ndarray


def visible_surface(joints: np.ndarray, scale: np.ndarray) -> Surface:
    """The surface at the joints (B, F, 17, 3) metres, optical frame, of bodies of ``scale`` (B,) to an average one."""
    place = project(joints)
    x, y, inverse_depth = np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1]), 1.0 / joints[..., 2]
    depth = joints[..., 2] - JOINT_RADIUS_M * scale[:, None, None]
    nearest = depth - _CLEARANCE_M * scale[:, None, None]
    seen, along, capsule = nearest.copy(), np.zeros_like(nearest), np.zeros(nearest.shape, np.int8)
    for number, (start, end, radius) in enumerate(_CAPSULES):
        a, b = JOINT_INDEX[start], JOINT_INDEX[end]
        share, front = _capsule_front(x, y, inverse_depth, a, b, radius * scale)
        hides = front < seen
        hides[..., a] = hides[..., b] = False
        np.copyto(seen, front, where=hides)
        np.copyto(along, share, where=hides)
        np.copyto(capsule, np.int8(number), where=hides)

    motion = np.zeros_like(place)
    motion[:, 1:] = place[:, 1:] - place[:, :-1]
    occluded = seen < nearest
    window, frame, joint = np.nonzero(occluded)
    first, second = _CAPSULE_ENDS[capsule[window, frame, joint]].T
    share = along[window, frame, joint, None]
    limb = (1.0 - share) * motion[window, frame, first] + share * motion[window, frame, second]
    motion[window, frame, joint] = limb
    return Surface(np.where(occluded, seen, depth), occluded, motion)


def _capsule_front(
    x: np.ndarray, y: np.ndarray, inverse_depth: np.ndarray, a: int, b: int, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far along the bone from joint a to b each joint is seen, 0 to 1, and the depth of the flesh's front there.

    Where the joint is not seen on this flesh the depth is infinite. Arrays are (B, F, 17): places on the plane z = 1
    and 1/m; ``radius`` (B,) metres.
    """
    bone_x, bone_y = (x[..., b] - x[..., a])[..., None], (y[..., b] - y[..., a])[..., None]
    start = inverse_depth[..., a, None]
    off_x, off_y = x - x[..., a, None], y - y[..., a, None]
    along = (off_x * bone_x + off_y * bone_y) / (bone_x**2 + bone_y**2 + np.float32(1e-9))
    np.clip(along, 0.0, 1.0, out=along)
    # Inverse depth, not depth, is linear in the image.
    axis_depth = 1.0 / (start + along * (inverse_depth[..., b, None] - start))
    off = ((off_x - along * bone_x) ** 2 + (off_y - along * bone_y) ** 2) * axis_depth**2
    inside = radius[:, None, None] ** 2 - off
    return along, np.where(inside > 0, axis_depth - np.sqrt(np.maximum(inside, 0.0)), np.inf)
