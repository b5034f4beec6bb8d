"""What is exactly known about a rendered frame: flow, its validity, and which joints are seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.synthetic.background import View
from mambapose_ros.synthetic.body import SEGMENTS
from mambapose_ros.synthetic.quadrics import Quadrics
from mambapose_ros.synthetic.renderer import Fragments, Hits


@dataclass(frozen=True)
class Moment:
    """The scene at one time: where everything is, and what the camera sees of it.

    Attributes:
        to_camera: (4, 4) from the world to the optical frame.
        to_world: (S, 4, 4) from all segments to the world.
        joints: (P, 17, 3) metres, optical frame.
        view: the room.
        hits: people and things before it.
    """

    to_camera: np.ndarray
    to_world: np.ndarray
    joints: np.ndarray
    view: View
    hits: Hits


def optical_flow(
    before: Moment, now: Moment, fragments: Fragments, quadrics: Quadrics, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """How far what is seen now has moved in the image since ``before``.

    Returns:
        (H, W, 2) float32 pixels, the point at (x, y) was at (x, y) - flow; and (H, W) float32 metres, its depth then.
    """
    size = (camera.height, camera.width)
    K, to_ray = np.eye(4), np.eye(4)
    K[:3, :3], to_ray[:3, :3] = camera.K, np.linalg.inv(camera.K)
    flow, was = np.zeros((*size, 2), np.float32), now.hits.depth.copy()
    if not np.array_equal(before.to_camera, now.to_camera):
        # The room moves past the camera. Pixels are homogeneous, [u v 1 1/depth], now and then.
        a = (K @ before.to_camera @ np.linalg.inv(now.to_camera) @ to_ray)[:3].astype(np.float32)
        u, v = np.arange(size[1], dtype=np.float32), np.arange(size[0], dtype=np.float32)[:, None]
        inverse = 1.0 / now.hits.depth
        x, y, z = (row[0] * u + (row[1] * v + row[2]) + row[3] * inverse for row in a)
        flow[..., 0], flow[..., 1] = u - x / z, v - y / z
        was *= z
    back = before.to_camera @ before.to_world @ np.linalg.inv(now.to_camera @ now.to_world)
    x, y, z = fragments.map((K[:3] @ back)[quadrics.segment])
    v, u = np.divmod(fragments.pixel, camera.width)
    flow.reshape(-1, 2)[fragments.pixel] = np.stack([u - x / z, v - y / z], axis=1)
    was.reshape(-1)[fragments.pixel] = z
    return flow, was


def seen_before(flow: np.ndarray, was: np.ndarray, before: Hits) -> np.ndarray:
    """(H, W) bool: the point that was at (x, y) - flow, at depth ``was``, was the nearest one there."""
    height, width = was.shape
    x = np.arange(width, dtype=np.float32) - flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] - flow[..., 1]
    nearest = cv2.remap(before.depth, x, y, cv2.INTER_NEAREST, borderValue=(-1.0,))
    # Depth between pixels may differ by the slope of the surface.
    return np.abs(nearest - was) < 0.05 + 0.01 * was


def joint_visibility(
    now: Moment, keypoints: np.ndarray, statures: np.ndarray, quadrics: Quadrics, camera: Camera
) -> np.ndarray:
    """(P, 17) bool: nothing but the flesh around it is between the camera and the joint.

    Args:
        keypoints: (P, 17, 2) pixels.
        statures: (P,) metres.
    """
    pixel = np.floor(keypoints + 0.5).astype(int)
    inside = ((pixel >= 0) & (pixel < (camera.width, camera.height))).all(axis=-1)
    u, v = np.where(inside[..., None], pixel, 0).transpose(2, 0, 1)
    surface, depth, z = now.hits.surface[v, u], now.hits.depth[v, u], now.joints[..., 2]
    segment = np.where(surface >= 0, quadrics.segment[surface], -1)
    first = len(SEGMENTS) * np.arange(len(keypoints))[:, None, None]
    own = (segment[..., None] == _FLESH + first).any(axis=-1)
    # A limb that points at the camera hides its far end.
    near = z - depth < 0.12 * statures[:, None]
    return inside & ((depth >= z) | (own & near))


_MEETING = {
    "pelvis": ("pelvis", "trunk"),
    "spine": ("pelvis", "trunk"),
    "thorax": ("trunk", "head"),
    "neck": ("head", "trunk"),
    "head": ("head", "head"),
    "shoulder": ("upper_arm", "trunk"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "forearm"),
    "hip": ("thigh", "pelvis"),
    "knee": ("thigh", "shank"),
    "ankle": ("shank", "foot"),
}
"""The segments that meet at a joint: the flesh around it."""


def _flesh(joint: str) -> list[int]:
    side, _, kind = joint.rpartition("_")
    return [SEGMENTS.index(f"{side}_{s}" if f"{side}_{s}" in SEGMENTS else s) for s in _MEETING[kind]]


_FLESH = np.array([_flesh(name) for name in JOINT_NAMES])
"""(17, 2) indices into ``SEGMENTS``."""
