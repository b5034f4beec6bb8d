"""Generated errors against what was measured of a real detector (fractions of the box's height)."""

import numpy as np
import pytest

from mambapose_ros.skeleton import (
    BLAZEPOSE_NAMES,
    BLAZEPOSE_TO_H36M,
    FLIP,
    JOINT_INDEX,
    JOINT_NAMES,
)
from mambapose_ros.training.cameras import CameraRanges, project, random_cameras
from mambapose_ros.training.detector_noise import (
    COCO,
    FAMILIES,
    LANDMARKS,
    LANDMARKS_TO_H36M,
    MEDIAPIPE,
    MOCAP,
    Body,
    box_side,
    define_joints,
    detect,
)
from mambapose_ros.training.kinematics import body_scale
from mambapose_ros.training.surface import hidden_joints

MEASURED = {
    "shoulder": (0.0105, 0.023, 0.94),
    "elbow": (0.013, 0.031, 0.94),
    "wrist": (0.0115, 0.031, 0.87),
    "hip": (0.013, 0.034, 0.96),
    "knee": (0.0125, 0.0345, 0.935),
    "ankle": (0.0105, 0.0345, 0.915),
}
"""Median, 90th percentile and correlation from frame to frame at 60 Hz: the middles of the measured ranges."""

LIKE_MEASURED = CameraRanges(fov=(60.0, 70.0), distance=(2.5, 5.0), off_centre=0.3, moving=0.0)


def limbs(part: str) -> list[int]:
    return [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right")]


class Simulated:
    """256 windows of two seconds at 60 Hz; ``meant`` is where the detector takes the joints to be."""

    def __init__(self, motion, family, ranges=LIKE_MEASURED, seed=0):
        motion = type(motion)(*(np.tile(a, (4,) + (1,) * (a.ndim - 1)) for a in vars(motion).values()))
        rng = np.random.default_rng(seed)
        self.cameras = random_cameras(rng, ranges, motion)
        joints = self.cameras.view(motion.joints)
        self.body = Body(joints, self.cameras.turn(motion.head_forward), body_scale(joints).mean(axis=1))
        self.occluded = hidden_joints(joints, self.body.scale)
        families = np.full(len(joints), FAMILIES.index(family))
        self.meant = project(define_joints(np.random.default_rng(seed), self.body, families))
        noise = np.random.default_rng(seed)
        self.found = detect(noise, self.body, self.cameras, self.occluded, families, motion.mean_interval)
        self.error = (self.found.rays - self.meant) / box_side(self.meant)[..., None, None]
        self.swapped = self.found.swapped


@pytest.fixture(scope="module")
def mediapipe(recorded_motion) -> Simulated:
    return Simulated(recorded_motion, MEDIAPIPE)


def correlation(error: np.ndarray, swapped: np.ndarray, lag: int) -> float:
    """Of errors (B, F, J, 2) less their mean over time; every window counts the same, or the worst would decide."""
    good = ~swapped[..., None, None]
    varying = np.where(good, error - error.mean(axis=1, keepdims=True, where=good), 0.0)
    varying /= np.sqrt((varying**2).mean(axis=(1, 3), keepdims=True)) + 1e-9
    both = (good[:, lag:] & good[:, :-lag])[..., 0, 0]
    now, before = varying[:, lag:][both], varying[:, :-lag][both]
    return (now * before).mean() / np.sqrt((now**2).mean() * (before**2).mean())


@pytest.mark.parametrize("part", MEASURED)
def test_errors_are_as_measured(mediapipe, part):
    """Medians within 15 %, 90th percentiles within 20 %, correlations within 0.03."""
    median, tail, correlated = MEASURED[part]
    error = mediapipe.error[:, :, limbs(part)]
    distance = np.linalg.norm(error[~mediapipe.swapped], axis=-1)
    assert np.median(distance) == pytest.approx(median, rel=0.15)
    assert np.percentile(distance, 90) == pytest.approx(tail, rel=0.2)
    assert correlation(error, mediapipe.swapped, 1) == pytest.approx(correlated, abs=0.03)


def test_errors_of_all_limb_joints_are_as_measured(mediapipe):
    """Median .012 and 90th percentile .031 within 10 %; correlation .93
    within .02 and, six frames apart, .47 within .05."""
    joints = [joint for part in MEASURED for joint in limbs(part)]
    error = mediapipe.error[:, :, joints]
    distance = np.linalg.norm(error[~mediapipe.swapped], axis=-1)
    assert np.median(distance) == pytest.approx(0.012, rel=0.1)
    assert np.percentile(distance, 90) == pytest.approx(0.031, rel=0.1)
    assert correlation(error, mediapipe.swapped, 1) == pytest.approx(0.93, abs=0.02)
    assert correlation(error, mediapipe.swapped, 6) == pytest.approx(0.47, abs=0.05)


def test_left_and_right_are_swapped_in_runs_while_the_face_is_hidden(mediapipe):
    head = mediapipe.body.joints[:, :, JOINT_INDEX["head"]]
    view = head / np.linalg.norm(head, axis=2, keepdims=True)
    away = (view * mediapipe.body.head_forward).sum(axis=2) > 0.3
    swapped = mediapipe.swapped
    assert 0.02 < swapped[away].mean() < 0.15  # 34 of 400 frames were measured in a view of somebody's back.
    assert swapped[~away].mean() < 0.02
    followed = swapped[:, 1:][swapped[:, :-1]].mean()
    assert followed > 0.9
    window, frame = (index[0] for index in np.nonzero(swapped))
    rays, meant = mediapipe.found.rays[window, frame], mediapipe.meant[window, frame]
    box = box_side(mediapipe.meant)[window, frame]
    assert np.median(np.linalg.norm(rays[list(FLIP)] - meant, axis=1)) < 0.05 * box


def test_confidence_goes_with_the_error(mediapipe):
    confidence, found = mediapipe.found.confidence, mediapipe.found.confidence > 0
    assert confidence.min() >= 0.0
    assert confidence.max() <= 1.0
    distance = np.linalg.norm(mediapipe.error, axis=3)
    usable = found & ~mediapipe.swapped[..., None]
    sure, unsure = usable & (confidence > 0.9), usable & (confidence < 0.6)
    assert np.median(distance[unsure]) > 1.5 * np.median(distance[sure])
    limb = limbs("wrist")
    hidden = mediapipe.occluded[:, :, limb]
    assert np.median(confidence[:, :, limb][hidden]) < np.median(confidence[:, :, limb][~hidden]) - 0.1


def test_definitions_are_those_of_the_families(recorded_motion):
    """Medians over people: hips of MediaPipe 85 mm lower and 68 mm closer, shoulders 64 mm wider, within 10 mm."""
    seen = Simulated(recorded_motion, MEDIAPIPE)
    defined = define_joints(np.random.default_rng(1), seen.body, np.zeros(256, dtype=int))
    for part, wider in (("hip", -0.068), ("shoulder", 0.064)):
        left, right = limbs(part)
        width = [
            np.linalg.norm(joints[:, :, left] - joints[:, :, right], axis=2) for joints in (seen.body.joints, defined)
        ]
        difference = (width[1] - width[0]).mean(axis=1) / seen.body.scale
        assert np.median(difference) == pytest.approx(wider, abs=0.01)
    trunk = seen.body.joints[:, :, JOINT_INDEX["thorax"]] - seen.body.joints[:, :, 0]
    up = trunk / np.linalg.norm(trunk, axis=2, keepdims=True)
    lower = -((defined[:, :, 0] - seen.body.joints[:, :, 0]) * up).sum(axis=2).mean(axis=1) / seen.body.scale
    assert np.median(lower) == pytest.approx(0.085, abs=0.01)


def test_motion_captures_own_definition_changes_nothing(recorded_motion):
    seen = Simulated(recorded_motion, MOCAP)
    np.testing.assert_allclose(seen.meant, project(seen.body.joints), atol=1e-6)


def test_what_is_outside_the_image_is_left_out_or_guessed(recorded_motion):
    close = CameraRanges(distance=(1.0, 1.5))
    for family in (COCO, MEDIAPIPE):
        seen = Simulated(recorded_motion, family, close)
        outside = (np.abs(seen.meant) > seen.cameras.half_extent[:, None, None]).any(axis=3) & ~seen.swapped[..., None]
        confidence = seen.found.confidence[outside]
        assert outside.mean() > 0.1
        assert (confidence == 0).mean() > 0.99 if family is COCO else (confidence == 0).mean() < 0.1
        assert np.median(confidence) < 0.5


def test_joints_are_made_of_landmarks_as_in_the_package():
    """The matrix is ``BLAZEPOSE_TO_H36M`` with the face's landmarks drawn together."""
    np.testing.assert_allclose(LANDMARKS_TO_H36M.sum(axis=1), 1.0, atol=1e-6)
    theirs = [BLAZEPOSE_NAMES.index(name) for name in LANDMARKS if name in BLAZEPOSE_NAMES and name != "nose"]
    ours = [LANDMARKS.index(BLAZEPOSE_NAMES[i]) for i in theirs]
    np.testing.assert_allclose(LANDMARKS_TO_H36M[:, ours], BLAZEPOSE_TO_H36M[:, theirs], atol=1e-6)
    points = np.random.default_rng(0).normal(size=(len(BLAZEPOSE_NAMES), 2))
    expected = dict(zip(JOINT_NAMES, BLAZEPOSE_TO_H36M @ points, strict=True))
    ears = points[[BLAZEPOSE_NAMES.index(f"{side}_ear") for side in ("left", "right")]].mean(axis=0)
    face = {"ears": ears, "head": expected["head"]}
    landmarks = [face[name] if name in face else points[BLAZEPOSE_NAMES.index(name)] for name in LANDMARKS]
    np.testing.assert_allclose(LANDMARKS_TO_H36M @ np.array(landmarks), list(expected.values()), atol=1e-6)


def test_nothing_found_is_ever_nan(mediapipe):
    assert np.isfinite(mediapipe.found.rays).all()
    assert np.isfinite(mediapipe.found.confidence).all()
