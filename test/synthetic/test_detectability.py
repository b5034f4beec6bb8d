"""A pose detector that was trained on photographs finds the synthetic person."""

import numpy as np
import pytest

from mambapose_ros.skeleton import BLAZEPOSE_NAMES, BLAZEPOSE_TO_H36M, FLIP, map_landmarks
from mambapose_ros.synthetic import UPRIGHT_MOTIONS, SyntheticScene

FRAMES = 60
STRIDE = 2

mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe has no build for this Python")


@pytest.mark.parametrize("motion", UPRIGHT_MOTIONS)
def test_mediapipe_finds_the_person(motion):
    scene = SyntheticScene(motion=motion, seed=0)
    found, errors, swapped = 0, [], 0
    with mediapipe.solutions.pose.Pose(model_complexity=1) as detector:
        for index in range(0, FRAMES * STRIDE, STRIDE):
            frame = scene.render(index)
            landmarks = detector.process(frame.image).pose_landmarks
            if landmarks is None:
                continue
            found += 1
            pixels = np.array([(p.x * 640 - 0.5, p.y * 480 - 0.5) for p in landmarks.landmark])
            joints, _ = map_landmarks(BLAZEPOSE_TO_H36M, pixels, np.ones(len(BLAZEPOSE_NAMES)))
            truth = frame.keypoints[0]
            stature = scene._people[0].body.stature * frame.camera.K[1, 1] / frame.joints[0, 0, 2]
            errors.append(np.linalg.norm(joints - truth, axis=1) / stature)
            swapped += np.linalg.norm(joints[list(FLIP)] - truth, axis=1).sum() < errors[-1].sum() * stature
    assert found >= 0.98 * FRAMES
    assert np.median(errors) < 0.05
    assert swapped <= 0.1 * FRAMES
