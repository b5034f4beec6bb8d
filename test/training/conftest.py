"""Motion to work with: a walker made of sines, and recorded people where the shared data is."""

from pathlib import Path

import numpy as np
import pytest

from mambapose_ros.skeleton import JOINT_INDEX, JOINT_NAMES
from mambapose_ros.training.mocap import MotionSequence, load_folder
from mambapose_ros.training.motion import Motion, MotionLibrary

STANDING = {
    "pelvis": (0.0, 0.0, 0.92),
    "right_hip": (0.0, -0.1, 0.92),
    "right_knee": (0.02, -0.1, 0.5),
    "right_ankle": (0.0, -0.1, 0.08),
    "left_hip": (0.0, 0.1, 0.92),
    "left_knee": (0.02, 0.1, 0.5),
    "left_ankle": (0.0, 0.1, 0.08),
    "spine": (0.0, 0.0, 1.18),
    "thorax": (0.0, 0.0, 1.45),
    "neck": (0.06, 0.0, 1.54),
    "head": (0.02, 0.0, 1.64),
    "left_shoulder": (0.0, 0.17, 1.4),
    "left_elbow": (0.0, 0.2, 1.12),
    "left_wrist": (0.04, 0.22, 0.87),
    "right_shoulder": (0.0, -0.17, 1.4),
    "right_elbow": (0.0, -0.2, 1.12),
    "right_wrist": (0.04, -0.22, 0.87),
}
"""Metres, z up, facing along x."""


@pytest.fixture(scope="session")
def standing() -> np.ndarray:
    """(17, 3) somebody who stands."""
    return np.array([STANDING[name] for name in JOINT_NAMES])


def _walker(name: str, frames: int, standing: np.ndarray) -> MotionSequence:
    """Somebody who walks along x at 1.2 m/s, 30 frames per second."""
    seconds = np.arange(frames) / 30.0
    joints = np.repeat(standing[None], frames, axis=0)
    joints[:, :, 0] += 1.2 * seconds[:, None]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = sign * np.sin(2.0 * np.pi * seconds)
        for joint, reach in (("knee", 0.15), ("ankle", 0.3), ("elbow", -0.1), ("wrist", -0.2)):
            joints[:, JOINT_INDEX[f"{side}_{joint}"], 0] += reach * swing
        joints[:, JOINT_INDEX[f"{side}_ankle"], 2] += 0.05 * np.maximum(swing, 0.0)
    head_forward = np.repeat([[1.0, 0.0, 0.0]], frames, axis=0)
    return MotionSequence(name, name, "train", 30.0, joints.astype(np.float32), head_forward.astype(np.float32))


@pytest.fixture(scope="session")
def walkers(standing: np.ndarray) -> list[MotionSequence]:
    return [_walker("short", 40, standing), _walker("long", 200, standing)]


@pytest.fixture(scope="session")
def recorded(shared: Path) -> list[MotionSequence]:
    return load_folder(shared / "data" / "mocap")


@pytest.fixture(scope="session")
def recorded_motion(recorded: list[MotionSequence]) -> Motion:
    """64 windows of two seconds at 60 Hz, of many people."""
    rng = np.random.default_rng(0)
    library = MotionLibrary(recorded)
    sequence = rng.integers(len(recorded), size=64)
    start = rng.random(64) * np.maximum(library.lengths[sequence] / 30.0 - 2.0, 0.0)
    return library.read(sequence, start[:, None] + np.arange(120) / 60.0, np.full((64, 120), 1 / 60))
