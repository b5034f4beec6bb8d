"""Random virtual cameras that look at recorded motions: a robot's, a tripod's or a hand's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.training.kinematics import rotation_about
from mambapose_ros.training.motion import Motion
from mambapose_ros.training.random_process import log_uniform, slow_noise

IMAGE_SIZES = ((320, 240), (640, 480), (848, 480), (1280, 720), (1920, 1080), (480, 640), (720, 1280))
"""Width and height in pixels."""

NEAREST_M = 0.3
"""No joint comes nearer to the image plane than this; a camera that is too close is moved back."""

_SHAKE_TIME_S = 0.25
_WANDER_TIME_S = 0.8


@dataclass(frozen=True)
class CameraRanges:
    """What random cameras are like. Pairs are (least, most).

    Attributes:
        fov: horizontal field of view, degrees.
        height: of the camera, metres over the floor.
        distance: from the camera to the pelvis at some moment of the window, metres.
        steepest: most degrees that the camera looks up or down.
        roll: most degrees about the viewing axis.
        off_centre: where the pelvis is seen at that moment, as a fraction of half the image; beyond about 0.5 parts
            of the body are cut off.
        moving: share of cameras that move. They pan with the person, and wander and shake about that.
        speed: most metres per second of a moving camera along each of the floor's two axes; it goes straight.
        travel: most metres that it goes along each of them within a window.
        wander: most degrees (standard deviation) that it wanders to the sides.
        shake: most degrees (standard deviation) that it shakes.
    """

    fov: tuple[float, float] = (40.0, 100.0)
    height: tuple[float, float] = (0.3, 2.5)
    distance: tuple[float, float] = (1.0, 8.0)
    steepest: float = 50.0
    roll: float = 10.0
    off_centre: float = 0.8
    moving: float = 0.4
    speed: float = 1.5
    travel: float = 2.0
    wander: float = 8.0
    shake: float = 1.0


@dataclass(frozen=True, eq=False)
class Cameras:
    """Distortion-free cameras of B windows of F frames.

    Attributes:
        rotation: (B, F, 3, 3) float32, world to optical frame.
        position: (B, F, 3) float32 metres, world.
        half_extent: (B, 2) float32: the image reaches from minus to plus this on the plane z = 1.
        pixel: (B,) float32: size of a pixel on that plane.
    """

    rotation: np.ndarray
    position: np.ndarray
    half_extent: np.ndarray
    pixel: np.ndarray

    def view(self, points: np.ndarray) -> np.ndarray:
        """World points (B, F, J, 3) metres in the optical frames."""
        return (points - self.position[:, :, None]) @ self.rotation.swapaxes(2, 3)

    def turn(self, vectors: np.ndarray) -> np.ndarray:
        """World vectors (B, F, 3) in the optical frames' axes."""
        return (self.rotation @ vectors[..., None])[..., 0]

    def earlier(self, points: np.ndarray) -> np.ndarray:
        """Where points (B, F, J, 3) that stand still in the world, given in each frame's optical frame, were in that of
        the frame before; for frame 0 as given."""
        before = np.maximum(np.arange(points.shape[1]) - 1, 0)
        relative = self.rotation[:, before] @ self.rotation.swapaxes(2, 3)
        shift = self.rotation[:, before] @ (self.position - self.position[:, before])[..., None]
        return points @ relative.swapaxes(2, 3) + shift[..., 0][:, :, None]


def project(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) in an optical frame -> where their viewing rays meet the plane z = 1, (..., 2)."""
    return points[..., :2] / np.maximum(points[..., 2:], 0.5 * NEAREST_M)


def random_cameras(rng: np.random.Generator, ranges: CameraRanges, motion: Motion) -> Cameras:
    """A camera for each motion, all of whose joints are in front of it."""
    people, frames = motion.joints.shape[:2]
    half_extent, pixel = _random_images(rng, ranges, people)
    moment = rng.integers(frames, size=people)
    target = motion.joints[np.arange(people), moment, 0]
    height = rng.uniform(*ranges.height, people)
    climb = target[:, 2] - height
    distance = log_uniform(rng, ranges.distance, people)
    steepest = np.sin(np.radians(ranges.steepest))
    distance = np.maximum(distance, np.abs(climb) / steepest)
    ground = np.sqrt(distance**2 - climb**2)

    # From any side; then the camera turns so that the person is seen off centre.
    azimuth = rng.uniform(0.0, 2.0 * np.pi, people)
    seen = np.arctan(rng.uniform(-ranges.off_centre, ranges.off_centre, (people, 2)) * half_extent)
    clock = motion.interval.cumsum(axis=1)
    seconds = clock - clock[np.arange(people), moment, None]
    moves = rng.random(people) < ranges.moving
    velocity, shake = _random_movement(rng, ranges, motion, moves)
    position = target[:, None] + velocity[:, None] * seconds[..., None]
    position -= np.stack([ground * np.cos(azimuth), ground * np.sin(azimuth), climb], axis=1)[:, None]
    toward = motion.joints[:, :, 0] - position
    bearing = np.where(moves[:, None], np.arctan2(toward[..., 1], toward[..., 0]), azimuth[:, None])
    yaw = bearing + seen[:, :1] + shake[..., 0]
    pitch = (np.arctan2(climb, ground) + seen[:, 1])[:, None] + shake[..., 1]
    lean = np.radians(rng.normal(0.0, 0.5 * ranges.roll, people).clip(-ranges.roll, ranges.roll))
    roll = lean[:, None] + shake[..., 2]
    made = Cameras(_look(yaw, pitch, roll), position.astype(np.float32), half_extent, pixel)
    return _keep_in_front(made, motion.joints)


def _random_images(rng: np.random.Generator, ranges: CameraRanges, people: int) -> tuple[np.ndarray, np.ndarray]:
    """``half_extent`` and ``pixel`` as of ``Cameras``."""
    size = np.array(IMAGE_SIZES, dtype=np.float32)[rng.integers(len(IMAGE_SIZES), size=people)]
    half_width = np.tan(0.5 * np.radians(rng.uniform(*ranges.fov, people)))
    pixel = (2.0 * half_width / size[:, 0]).astype(np.float32)
    return 0.5 * size * pixel[:, None], pixel


def _random_movement(
    rng: np.random.Generator, ranges: CameraRanges, motion: Motion, moves: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity (B, 3) m/s along the floor, x and y each drawn up to the limit, and (B, F, 3) radians of unsteady yaw,
    pitch and roll."""
    people, frames = motion.joints.shape[:2]
    speed = np.minimum(ranges.speed, ranges.travel / motion.interval.sum(axis=1))
    velocity = rng.uniform(-1.0, 1.0, (people, 3)) * (speed * moves)[:, None]
    velocity[:, 2] = 0.0
    strength = np.radians(rng.uniform(0.0, 1.0, (people, 2)) * (ranges.shake, ranges.wander)) * moves[:, None]
    unsteady = slow_noise(rng, motion.mean_interval, frames, 3, _SHAKE_TIME_S) * strength[:, None, :1]
    unsteady[..., 0] += slow_noise(rng, motion.mean_interval, frames, 1, _WANDER_TIME_S)[..., 0] * strength[:, 1:]
    return velocity, unsteady


def _look(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B, F, 3, 3) world to optical frame of cameras that look along x, turned by radians to the left, up and about."""
    level = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], axis=-1).astype(np.float32)
    ahead = np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=-1)
    ahead = ahead.astype(np.float32)
    upright = np.stack([level, np.cross(ahead, level), ahead], axis=-2)
    return rotation_about(np.array([0.0, 0.0, 1.0], np.float32), roll) @ upright


def _keep_in_front(cameras: Cameras, joints: np.ndarray) -> Cameras:
    """Moved back along their axes, the same in all frames of a window, until no joint is too near."""
    ahead = cameras.rotation[:, :, 2]
    depth = (joints @ ahead[..., None])[..., 0] - np.einsum("bfc,bfc->bf", ahead, cameras.position)[..., None]
    back = np.maximum(NEAREST_M - depth.min(axis=(1, 2)), 0.0)
    position = cameras.position - back[:, None, None] * ahead
    return Cameras(cameras.rotation, position, cameras.half_extent, cameras.pixel)
