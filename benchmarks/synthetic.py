"""Frame rate of the synthetic person on one core, 640x480, against the 30 frames/s that a camera has.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/synthetic.py
"""

from __future__ import annotations

import time

import cv2

from mambapose_ros.synthetic import SyntheticScene

CAMERA_FPS = 30.0
FRAMES = 90


def frame_rate(**arguments) -> float:
    """Frames a second (CPU time, so that other programs do not count) of a scene with ``arguments``."""
    scene = SyntheticScene(**arguments)
    scene.render(0)
    start = time.process_time()
    for index in range(1, FRAMES + 1):
        scene.render(index)
    return FRAMES / (time.process_time() - start)


def main() -> None:
    cv2.setNumThreads(1)
    print(f"{'scene':<28}{'frames/s':>10}{'of 30/s':>10}")
    for name, arguments in {
        "one person walks": {"motion": "walk"},
        "one person sits down": {"motion": "sit"},
        "walk, moving camera": {"motion": "walk", "moving_camera": True},
        "four people walk": {"motion": "walk", "people": 4},
    }.items():
        rate = frame_rate(**arguments)
        print(f"{name:<28}{rate:>10.1f}{rate / CAMERA_FPS:>9.1f}x")


if __name__ == "__main__":
    main()
