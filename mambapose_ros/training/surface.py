"""What a camera sees where a detector takes a joint to be: that limb, another one in front of it, or the background.

The body is a set of capsules around its bones, tested in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, JOINT_RADIUS_M
from mambapose_ros.training.cameras import Cameras, project

_CAPSULES = (
    ("right_hip", "right_shoulder", 0.11),
    ("left_hip", "left_shoulder", 0.11),
    ("pelvis", "thorax", 0.11),
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
_PATCH_M = 0.01  # A limb is found from this far beside it: `perception.fusion` looks at a patch for what is nearer.
_RIM = 0.6  # of the way from the middle of a limb to its edge, where the rim begins


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface seen at 17 places in each of F frames of B windows: the body's, or the background's.

    Attributes:
        depth: (B, F, 17) float32 metres along the optical axis.
        motion: (B, F, 17, 2) float32, how far the point seen has moved on the plane z = 1 since the frame before, in
            the camera's view; 0 in the first frame.
        rim: (B, F, 17) float32, 0 well inside a limb and beside the body, 1 at the edge of a limb.
        background: (B, F, 17) float32 metres, depth of what is behind the body.
    """

    depth: np.ndarray
    motion: np.ndarray
    rim: np.ndarray
    background: np.ndarray


def hidden_joints(joints: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(B, F, 17) bool, which joints another part of the body hides.

    Args:
        joints: (B, F, 17, 3) metres, optical frame.
        scale: (B,) size of the body relative to an average adult.
    """
    nearest = joints[..., 2] - (JOINT_RADIUS_M + np.float32(_CLEARANCE_M)) * scale[:, None, None]
    hidden = np.zeros(nearest.shape, dtype=bool)
    bones = _Bones(joints)
    for start, end, radius in _CAPSULES:
        a, b = JOINT_INDEX[start], JOINT_INDEX[end]
        flesh = (radius * scale)[:, None, None]
        _, off, axis_depth = bones.nearest(bones.x, bones.y, a, b)
        inside = flesh**2 - off
        hides = (inside > 0) & (axis_depth - np.sqrt(np.maximum(inside, 0.0)) < nearest)
        hides[..., a] = hides[..., b] = False
        hidden |= hides
    return hidden


def visible_surface(
    rays: np.ndarray, joints: np.ndarray, thickness: np.ndarray, behind: np.ndarray, cameras: Cameras
) -> Surface:
    """What is seen where a detector takes the joints to be, which may be on another limb, or beside the body.

    Args:
        rays: (B, F, 17, 2) on the plane z = 1, where to look.
        joints: (B, F, 17, 3) metres, optical frame.
        thickness: (B,) of the limbs, relative to an average adult's.
        behind: (B,) metres from the body to the background.
        cameras: that see it.
    """
    background = joints[..., 2].max(axis=2, keepdims=True) + behind[:, None, None]
    background = np.broadcast_to(background, joints.shape[:3])

    x, y = np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])
    bones = _Bones(joints)
    seen, along, rim = background.copy(), np.zeros_like(x), np.zeros_like(x)
    capsule = np.full(x.shape, -1, np.int8)
    for number, (start, end, radius) in enumerate(_CAPSULES):
        flesh = (radius * thickness)[:, None, None]
        share, off, axis_depth = bones.nearest(x, y, JOINT_INDEX[start], JOINT_INDEX[end])
        front = axis_depth - np.sqrt(np.maximum(flesh**2 - off, 0.0))
        nearer = (off < (flesh + np.float32(_PATCH_M)) ** 2) & (front < seen)
        np.copyto(seen, front, where=nearer)
        np.copyto(along, share, where=nearer)
        np.copyto(rim, np.clip((np.sqrt(off) / flesh - _RIM) / (1.0 - _RIM), 0.0, 1.0), where=nearer)
        np.copyto(capsule, np.int8(number), where=nearer)

    motion = rays - project(
        cameras.earlier(np.concatenate([rays, np.ones_like(rays[..., :1])], axis=3) * seen[..., None])
    )
    window, frame, place = np.nonzero(capsule >= 0)
    first, second = _CAPSULE_ENDS[capsule[window, frame, place]].T
    share = along[window, frame, place, None]
    moved = np.zeros_like(rays)
    moved[:, 1:] = np.diff(project(joints), axis=1)
    motion[window, frame, place] = (1.0 - share) * moved[window, frame, first] + share * moved[window, frame, second]
    return Surface(seen, motion, rim, background)


class _Bones:
    """Bones in the image, to look beside.

    Attributes:
        x, y: (B, F, 17) where the joints are seen on the plane z = 1.
    """

    def __init__(self, joints: np.ndarray) -> None:
        place = project(joints)
        self.x, self.y = np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
        self._inverse_depth = 1.0 / joints[..., 2]

    def nearest(self, x: np.ndarray, y: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The point of the bone from joint a to b that is seen nearest to places (B, F, 17).

        Returns:
            How far along the bone it lies, 0 to 1; its distance in the image squared, metres^2 at its depth; and its
            depth in metres. Each (B, F, 17).
        """
        bone_x, bone_y = (self.x[..., b] - self.x[..., a])[..., None], (self.y[..., b] - self.y[..., a])[..., None]
        start = self._inverse_depth[..., a, None]
        off_x, off_y = x - self.x[..., a, None], y - self.y[..., a, None]
        along = (off_x * bone_x + off_y * bone_y) / (bone_x**2 + bone_y**2 + np.float32(1e-9))
        np.clip(along, 0.0, 1.0, out=along)
        # Inverse depth, not depth, is linear in the image.
        depth = 1.0 / (start + along * (self._inverse_depth[..., b, None] - start))
        return along, ((off_x - along * bone_x) ** 2 + (off_y - along * bone_y) ** 2) * depth**2, depth
