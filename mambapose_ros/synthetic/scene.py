"""People in a room before a camera: frames with exact ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.synthetic.appearance import stool
from mambapose_ros.synthetic.background import Room, View
from mambapose_ros.synthetic.body import SEGMENTS, joints, rotation
from mambapose_ros.synthetic.ground_truth import Moment, joint_visibility, optical_flow, seen_before
from mambapose_ros.synthetic.motions import MOTIONS
from mambapose_ros.synthetic.people import NEAREST, random_people
from mambapose_ros.synthetic.quadrics import Quadrics
from mambapose_ros.synthetic.renderer import Fragments, Light, cast, shade, soften
from mambapose_ros.synthetic.shadow import darken_floor
from mambapose_ros.synthetic.textures import TILE_HEIGHT
from mambapose_ros.types import PersonKeypoints

MAX_PEOPLE = 4
"""More would hide each other, and fill any room."""

_HIDDEN_CONFIDENCE = 0.3

_OPTICAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""From a frame with x forward, y left, z up to the optical frame: x right, y down, z forward (REP-103)."""


@dataclass(frozen=True)
class SyntheticFrame:
    """One image and the truth about it. P people, joints in ``skeleton.JOINT_NAMES`` order, pixels as in ``Camera``.

    Attributes:
        stamp_ns: nanoseconds since frame 0.
        image: (H, W, 3) uint8 RGB.
        camera: its intrinsics.
        joints: (P, 17, 3) float64 metres, camera optical frame.
        keypoints: (P, 17, 2) float64 pixels; outside the image when the joint is.
        visibility: (P, 17) bool, False where something other than the flesh around the joint hides it: another
            person, another part of the body, a thing, or the border of the image.
        depth: (H, W) float32 metres along the optical axis, room included.
        flow: (H, W, 2) float32 pixels: the surface point that is at (x, y) now was at (x, y) - flow one frame ago,
            also for frame 0.
        flow_valid: (H, W) bool, False where that point was hidden or outside the image.
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera
    joints: np.ndarray
    keypoints: np.ndarray
    visibility: np.ndarray
    depth: np.ndarray
    flow: np.ndarray
    flow_valid: np.ndarray

    @property
    def people(self) -> tuple[PersonKeypoints, ...]:
        """Those of whom anything is seen, as an ideal detector would find them.

        Joints outside the image are missing; hidden ones, which a detector guesses, have a confidence of 0.3.
        """
        border = (self.camera.width - 0.5, self.camera.height - 0.5)
        inside = ((self.keypoints >= -0.5) & (self.keypoints < border)).all(axis=2)
        confidence = np.where(inside, np.where(self.visibility, 1.0, _HIDDEN_CONFIDENCE), 0.0)
        xy = np.where(inside[..., None], self.keypoints, np.nan)
        seen = (inside & self.visibility).any(axis=1)
        return tuple(PersonKeypoints(xy[i], confidence[i]) for i in np.flatnonzero(seen))


class SyntheticScene:
    """People in motion, rendered frame by frame; the same arguments give the same pixels.

    Args:
        motion: one of ``MOTIONS`` for everybody, or one for each person.
        people: 1 to 4.
        seed: of bodies, clothes, places, room and light.
        width, height: of the image, pixels.
        fps: frames per second.
        camera: intrinsics of that size, without distortion; None = 60 degrees wide. The people stand as far away as
            it takes to see them whole.
        moving_camera: pan and dolly smoothly instead of standing still.

    Raises:
        ValueError: when an argument is not as described.
    """

    def __init__(
        self,
        motion: str | Sequence[str] = "walk",
        people: int = 1,
        seed: int = 0,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        camera: Camera | None = None,
        moving_camera: bool = False,
    ) -> None:
        motions = _checked_motions(motion, people)
        if seed < 0:
            raise ValueError(f"expected a seed of 0 or more, got {seed}; choose another")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"expected fps to be a positive number, got {fps}; 30 is usual")
        self.camera = _checked_camera(camera, width, height)
        self.fps = fps
        self._moving = moving_camera
        # Each from its own stream, so that a seed means the same person in every motion, and the same room.
        looks, places, light, room, sway = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5))
        self._zoom = _zoom(self.camera)
        self._people = random_people(motions, self._zoom, looks, places)
        self._light = _random_light(light)
        far = max(float(p.spot[0]) for p in self._people) + 3.2
        half = max(3.4, *(abs(float(p.spot[1])) + 2.4 for p in self._people))
        self._room = Room.random(np.array([-1.5, -half, 0.0]), np.array([far, half, 2.8]), room)
        self._sway = sway.uniform(0.0, 2.0 * math.pi, 4)
        things = [(p.appearance, len(SEGMENTS)) for p in self._people]
        things += [(stool(p.motion.seat), 1) for p in self._people if p.motion.seat > 0.0]
        self._atlas = np.concatenate([thing.atlas for thing, _ in things])
        self._quadrics = Quadrics.join(
            [thing.quadrics for thing, _ in things],
            segments=[segments for _, segments in things],
            textures=[len(thing.atlas) // TILE_HEIGHT for thing, _ in things],
        )
        self._still_view: View | None = None
        self._recent: tuple[int, Moment] | None = None

    def render(self, index: int) -> SyntheticFrame:
        """Frame ``index``, in any order; one after the other is fastest."""
        before, now = self._moment(index - 1), self._moment(index)
        self._recent = (index, now)
        segments_to_camera = now.to_camera @ now.to_world
        light = self._light.turned(now.to_camera[:3, :3])
        fragments = Fragments.of(now.hits, self.camera)
        image = now.view.image.copy()
        darken_floor(
            image, now.view.floor, self._quadrics, now.to_world, now.to_camera, self.camera, self._light.direction
        )
        shade(image, fragments, self._quadrics, segments_to_camera, self.camera, light, self._atlas)
        soften(image, now.hits, self._quadrics)
        flow, was = optical_flow(before, now, fragments, self._quadrics, self.camera)
        keypoints = self.camera.project(now.joints)
        statures = np.array([person.body.stature for person in self._people])
        return SyntheticFrame(
            stamp_ns=round(index * 1e9 / self.fps),
            image=image,
            camera=self.camera,
            joints=now.joints,
            keypoints=keypoints,
            visibility=joint_visibility(now, keypoints, statures, self._quadrics, self.camera),
            depth=now.hits.depth.copy(),  # The next frame needs it unharmed.
            flow=flow,
            flow_valid=seen_before(flow, was, before.hits),
        )

    def _moment(self, index: int) -> Moment:
        if self._recent is not None and self._recent[0] == index:
            return self._recent[1]
        t = index / self.fps
        to_camera = self._camera_pose(t)
        placements = [person.placement(t) for person in self._people]
        stools = [p.floor() for p in self._people if p.motion.seat > 0.0]
        to_world = np.concatenate([*(placement.matrices() for placement in placements), *stools])
        in_world = np.stack([joints(p.body, placement) for p, placement in zip(self._people, placements, strict=True)])
        view = self._view(to_camera)
        return Moment(
            to_camera=to_camera,
            to_world=to_world,
            joints=in_world @ to_camera[:3, :3].T + to_camera[:3, 3],
            view=view,
            hits=cast(self._quadrics, to_camera @ to_world, self.camera, view.depth),
        )

    def _view(self, to_camera: np.ndarray) -> View:
        if self._moving:
            return self._room.render(self.camera, to_camera)
        if self._still_view is None:
            self._still_view = self._room.render(self.camera, to_camera)
        return self._still_view

    def _camera_pose(self, t: float) -> np.ndarray:
        """(4, 4) from the world to the optical frame: at breast height, looking at the hips of the nearest person."""
        position, yaw = np.array([0.0, 0.0, 1.2]), 0.0
        pitch = math.degrees(math.atan2(0.25, NEAREST * self._zoom))
        if self._moving:
            a, b, c, d = self._sway + 2.0 * math.pi * t / np.array([7.0, 9.0, 11.0, 8.0])
            position += (0.15 * math.sin(a), 0.30 * math.sin(b), 0.06 * math.sin(c))
            yaw, pitch = 4.0 * math.sin(d) / self._zoom, pitch + math.sin(a) / self._zoom
        result = np.eye(4)
        result[:3, :3] = _OPTICAL @ rotation(pitch=pitch, yaw=yaw).T
        result[:3, 3] = -result[:3, :3] @ position
        return result


def _checked_motions(motion: str | Sequence[str], people: int) -> list[str]:
    if not 1 <= people <= MAX_PEOPLE:
        raise ValueError(f"expected 1 to {MAX_PEOPLE} people, got {people}; render several scenes for more")
    motions = [motion] * people if isinstance(motion, str) else list(motion)
    if len(motions) != people:
        raise ValueError(f"expected one motion, or one for each of {people} people, got {len(motions)}: {motions}")
    for name in motions:
        if name not in MOTIONS:
            raise ValueError(f"expected a motion of {', '.join(MOTIONS)}, got {name!r}; choose one of these")
    return motions


def _checked_camera(camera: Camera | None, width: int, height: int) -> Camera:
    if width < 32 or height < 32:
        raise ValueError(f"expected an image of at least 32x32 pixels, got {width}x{height}; ask for a larger one")
    if camera is None:
        return Camera.from_fov(width, height)
    if (camera.width, camera.height) != (width, height):
        raise ValueError(
            f"expected a camera for {width}x{height} pixels, got one for {camera.width}x{camera.height}; pass its "
            "size as width and height, or scale it with Camera.resized"
        )
    if camera.has_distortion:
        raise ValueError(
            f"expected a camera without distortion, got {camera.distortion_model} {camera.D}; pass one with its K only"
        )
    return camera


def _zoom(camera: Camera) -> float:
    """How much farther people must stand than before a lens of 60 degrees with 4:3 to look as large."""
    zoom = max(float(camera.K[0, 0]) / camera.width / 0.866, float(camera.K[1, 1]) / camera.height / 1.155)
    if not 0.2 < zoom < 10.0:
        raise ValueError(
            f"expected a lens of about 7 to 140 degrees, got focal lengths of {camera.K[0, 0]:g} and "
            f"{camera.K[1, 1]:g} pixels for {camera.width}x{camera.height}; check K"
        )
    return zoom


def _random_light(rng: np.random.Generator) -> Light:
    """A lamp high up on the camera's side, warm or cool."""
    azimuth, elevation = math.radians(180.0 + rng.uniform(-75.0, 75.0)), math.radians(rng.uniform(48.0, 68.0))
    warmth = rng.uniform(-0.04, 0.06)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    level = math.cos(elevation)
    return Light(
        direction=np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)]),
        up=np.array([0.0, 0.0, 1.0]),
        lamp=0.62 * tint,
        above=np.array([0.50, 0.51, 0.53]),
        below=np.array([0.33, 0.31, 0.29]),
    )
