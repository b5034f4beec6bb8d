"""The motions: what every one of them keeps to, and what makes walking walking."""

import itertools

import numpy as np
import pytest

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.synthetic.body import SEGMENT_INDEX, Body, joints, place
from mambapose_ros.synthetic.motions import MOTION_TABLE, MOTIONS, UPRIGHT_MOTIONS

FPS = 60.0
BODIES = [Body.random(np.random.default_rng(seed)) for seed in range(3)]


def track(motion: str, body: Body, seconds: float = 8.0) -> np.ndarray:
    """(N, 17, 3) joints at ``FPS``."""
    times = np.arange(-1.0, seconds, 1.0 / FPS)
    return np.stack([joints(body, place(body, MOTION_TABLE[motion].pose(t, body))) for t in times])


def knee_flexion(points: np.ndarray, side: str) -> np.ndarray:
    hip, knee, ankle = (points[:, JOINT_INDEX[f"{side}_{joint}"]] for joint in ("hip", "knee", "ankle"))
    cosine = np.einsum("ni,ni->n", knee - hip, ankle - knee)
    return np.degrees(np.arccos(cosine / np.linalg.norm(knee - hip, axis=1) / np.linalg.norm(ankle - knee, axis=1)))


def lowest_point(motion: str, body: Body, t: float) -> float:
    """Height of the lower of both soles, at heel or toes."""
    placement = place(body, MOTION_TABLE[motion].pose(t, body))
    heights = []
    for side in ("left", "right"):
        foot = SEGMENT_INDEX[f"{side}_foot"]
        for x in (-body.heel, body.toe):
            heights.append((placement.rotation[foot] @ (x, 0.0, -body.ankle) + placement.origin[foot])[2])
    return min(heights)


def test_all_the_promised_motions_are_there():
    assert set(MOTIONS) == {"walk", "run", "wave", "squat", "sit", "reach", "turn", "bow", "idle"}
    assert set(UPRIGHT_MOTIONS) == set(MOTIONS) - {"squat", "sit", "bow"}


@pytest.mark.parametrize("motion", MOTIONS)
def test_feet_are_where_they_were_put(motion):
    """The legs reach their feet, so that no planted foot is dragged along."""
    for t, body in itertools.product(np.arange(0.0, 9.0, 1.0 / 25.0), BODIES):
        pose = MOTION_TABLE[motion].pose(t, body)
        placement = place(body, pose)
        for side, foot in (("left", pose.left_foot), ("right", pose.right_foot)):
            gap = np.linalg.norm(placement.origin[SEGMENT_INDEX[f"{side}_foot"]] - foot.ankle)
            assert gap < 1e-3, (t, side, gap)


@pytest.mark.parametrize("motion", MOTIONS)
def test_moves_smoothly_and_stays_in_its_place(motion):
    points = track(motion, BODIES[0])
    assert np.linalg.norm(np.diff(points, axis=0), axis=2).max() * FPS < 9.0  # m/s; a runner's foot.
    assert np.abs(np.diff(points, n=2, axis=0)).max() < 0.05
    along, across = MOTION_TABLE[motion].extent
    assert (np.abs(points[:, 0, :2]) < (along, across)).all()
    assert points[..., 2].min() > 0.02


@pytest.mark.parametrize("motion", ["walk", "run"])
def test_gait(motion):
    body = BODIES[1]
    points = track(motion, body)
    pelvis, left, right = (points[:, JOINT_INDEX[name]] for name in ("pelvis", "left_ankle", "right_ankle"))
    speed = np.linalg.norm(np.diff(pelvis[:, :2], axis=0), axis=1).mean() * FPS
    assert {"walk": 0.9, "run": 1.6}[motion] < speed < {"walk": 1.6, "run": 3.0}[motion]
    for side, ankle in (("left", left), ("right", right)):
        assert knee_flexion(points, side).max() > {"walk": 45.0, "run": 80.0}[motion]
        # Flat on the floor, a foot stands still.
        flat = ankle[:, 2] < body.ankle + 1e-6
        stands = flat[1:] & flat[:-1]
        assert stands.mean() > {"walk": 0.15, "run": 0.05}[motion]
        assert np.abs(np.diff(ankle, axis=0)[stands]).max() < 1e-9
    airborne = np.mean([lowest_point(motion, body, t) > 0.005 for t in np.arange(0.0, 8.0, 1.0 / FPS)])
    assert airborne == 0.0 if motion == "walk" else airborne > 0.2


@pytest.mark.parametrize("motion", ["walk", "run"])
def test_arms_swing_against_the_legs(motion):
    body = BODIES[2]
    times = np.arange(0.0, 8.0, 1.0 / FPS)
    ahead = []
    for t in times:
        pose = MOTION_TABLE[motion].pose(t, body)
        points = joints(body, place(body, pose))
        forward = np.array([np.cos(np.radians(pose.heading)), np.sin(np.radians(pose.heading)), 0.0])
        ahead.append(
            [
                forward @ (points[JOINT_INDEX[f"left_{j}"]] - points[JOINT_INDEX[f"right_{j}"]])
                for j in ("wrist", "ankle")
            ]
        )
    assert np.corrcoef(np.array(ahead).T)[0, 1] < -0.6


def test_walking_turns_all_the_way_round():
    headings = [MOTION_TABLE["walk"].pose(t, BODIES[0]).heading % 360.0 for t in np.arange(0.0, 10.0, 0.1)]
    assert set(np.digitize(headings, [90.0, 180.0, 270.0])) == {0, 1, 2, 3}


def test_squat_and_sit_go_down_and_bow_goes_forward():
    body = BODIES[0]
    pelvis = {motion: track(motion, body)[:, 0, 2] for motion in ("squat", "sit")}
    assert np.ptp(pelvis["squat"]) > 0.3
    assert pelvis["sit"].min() == pytest.approx(0.46 + 0.095, abs=1e-6)
    bow = track("bow", body)
    assert (bow[:, JOINT_INDEX["head"], 0] - bow[:, 0, 0]).max() > 0.4
