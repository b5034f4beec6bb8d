"""MediaPipe pose (BlazePose, Bazarevsky et al. 2020; Apache-2.0): one person, on a CPU, model inside the wheel."""

from __future__ import annotations

import os

import numpy as np

from mambapose_ros.skeleton import BLAZEPOSE_TO_H36M, map_landmarks
from mambapose_ros.types import PersonKeypoints


class MediaPipeDetector:
    """BlazePose "full" in video mode: finds a person, then follows them from image to image.

    Raises:
        ImportError: when mediapipe is not installed.
    """

    def __init__(self) -> None:
        # MediaPipe reports each start at length on stderr; its errors still come through.
        os.environ.setdefault("GLOG_minloglevel", "2")
        import mediapipe

        self._solution = mediapipe.solutions.pose
        self._pose = self._new_pose()

    def __call__(self, image: np.ndarray) -> tuple[PersonKeypoints, ...]:
        height, width = image.shape[:2]
        found = self._pose.process(image).pose_landmarks
        if found is None:
            return ()
        landmarks = np.array([(point.x, point.y, point.visibility) for point in found.landmark])
        # Landmarks are fractions of the image, measured from its corner; ours from the centre of the corner pixel.
        pixels = landmarks[:, :2] * (width, height) - 0.5
        xy, confidence = map_landmarks(BLAZEPOSE_TO_H36M, pixels, landmarks[:, 2].clip(0.0, 1.0))
        return (PersonKeypoints(xy=xy, confidence=confidence),)

    def reset(self) -> None:
        self._pose.close()
        self._pose = self._new_pose()

    def close(self) -> None:
        self._pose.close()

    def _new_pose(self):
        return self._solution.Pose(model_complexity=1)
