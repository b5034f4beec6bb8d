"""3D error of the whole pipeline on the synthetic person, against MediaPipe's own 3D in the same run.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --motions walk sit --window 81 --lookahead 13 --json accuracy.json

Both see the same rendered images; nothing is given from the ground truth but the camera's intrinsics. MediaPipe's world
landmarks (metres from the hips) are mapped to the same 17 joints. Figures are medians over frames, in millimetres, and
at the end medians over all frames of all motions, with the ratio to MediaPipe. A camera cannot tell how large somebody
is, so that several people (seeds) say more than one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mambapose_ros.models.mambapose import INTERVAL_90
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.skeleton import BLAZEPOSE_TO_H36M, FLIP, map_landmarks
from mambapose_ros.synthetic import UPRIGHT_MOTIONS, SyntheticScene
from mambapose_ros.training.metrics import bone_variation, difference_error, joint_errors, mpjpe, pa_mpjpe
from mambapose_ros.types import Frame

WARM_UP = 15  # frames until the tracker of the 2D front end has settled; not counted


@dataclass(frozen=True)
class Track:
    """One system's answer to one motion: (N, 17, 3) metres from the pelvis, and the truth of the same frames.

    Attributes:
        limit: (N, 17) metres, radius of the 90 % interval; None = the system tells none.
        root_error: (N,) metres; None = the system has no root.
    """

    poses: np.ndarray
    truth: np.ndarray
    limit: np.ndarray | None = None
    root_error: np.ndarray | None = None


def main() -> None:
    arguments = parse_arguments()
    options = PipelineOptions(
        weights=arguments.weights,
        flow=arguments.flow,
        depth=arguments.depth,
        window=arguments.window,
        lookahead=arguments.lookahead,
        max_people=1,
    )
    tracks: dict[str, dict[str, list[Track]]] = {"MediaPipe": {}, "MambaPose": {}}
    for motion in arguments.motions:
        scenes = [render(motion, arguments.frames, seed) for seed in arguments.seeds]
        tracks["MediaPipe"][motion] = [mediapipe_track(frames) for frames in scenes]
        tracks["MambaPose"][motion] = [pipeline_track(frames, options) for frames in scenes]
    report = {
        system: {motion: figures(of_motion) for motion, of_motion in by_motion.items()}
        | {"all": figures([track for of_motion in by_motion.values() for track in of_motion])}
        for system, by_motion in tracks.items()
    }
    Console(width=130).print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--motions", nargs="+", default=list(UPRIGHT_MOTIONS))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3], help="of people and rooms")
    parser.add_argument("--weights", default="mambapose-s")
    parser.add_argument("--flow", default="dis")
    parser.add_argument("--depth", default="off")
    parser.add_argument("--window", type=int, default=27)
    parser.add_argument("--lookahead", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def render(motion: str, count: int, seed: int) -> list[tuple[Frame, np.ndarray]]:
    """Images with the joints (17, 3) of the person in them."""
    scene = SyntheticScene(motion=motion, seed=seed)
    made = (scene.render(index) for index in range(count))
    return [(Frame(s.stamp_ns, "camera", s.image, s.camera, s.depth), s.joints[0]) for s in made]


def mediapipe_track(frames: list[tuple[Frame, np.ndarray]]) -> Track:
    import mediapipe

    poses, truth = [], []
    with mediapipe.solutions.pose.Pose(model_complexity=1) as pose:
        for number, (frame, joints) in enumerate(frames):
            found = pose.process(frame.image).pose_world_landmarks
            if found is None or number < WARM_UP:
                continue
            landmarks = np.array([(point.x, point.y, point.z) for point in found.landmark])
            mapped, _ = map_landmarks(BLAZEPOSE_TO_H36M, landmarks, np.ones(len(landmarks)))
            poses.append(mapped - mapped[0])
            truth.append(joints - joints[0])
    return Track(np.array(poses), np.array(truth))


def pipeline_track(frames: list[tuple[Frame, np.ndarray]], options: PipelineOptions) -> Track:
    pipeline = Pipeline.create(options)
    by_stamp = {frame.stamp_ns: joints for frame, joints in frames[WARM_UP:]}
    poses, truth, limit, root_error = [], [], [], []
    lifted = [result.lifted for result in map(pipeline, (frame for frame, _ in frames))]
    for moment in (*lifted, *pipeline.flush()):
        if moment is None or moment.stamp_ns not in by_stamp or not moment.skeletons:
            continue
        skeleton, joints = moment.skeletons[0], by_stamp[moment.stamp_ns]
        poses.append(skeleton.joints - skeleton.joints[0])
        truth.append(joints - joints[0])
        # Covariance is 4 scale^2 per axis.
        limit.append(INTERVAL_90 * np.sqrt(skeleton.covariance[:, 0, 0] / 4.0))
        root_error.append(np.linalg.norm(skeleton.joints[0] - joints[0]))
    pipeline.close()
    return Track(np.array(poses), np.array(truth), np.array(limit), np.array(root_error))


def figures(tracks: list[Track]) -> dict[str, float]:
    poses, truth = (np.concatenate([getattr(track, name) for track in tracks]) for name in ("poses", "truth"))
    errors = joint_errors(poses, truth)
    values = {
        "frames": len(poses),
        "mpjpe": float(np.median(mpjpe(poses[:, 1:], truth[:, 1:]))),
        "pa_mpjpe": float(np.median(pa_mpjpe(poses[:, 1:], truth[:, 1:]))),
        "acceleration": float(np.mean([difference_error(track.poses, track.truth, 2) for track in tracks])),
        "bone_variation": float(np.mean([bone_variation(track.poses) for track in tracks])),
        "swapped": float((mpjpe(poses[:, list(FLIP)], truth) < errors.mean(axis=1)).mean()),
    }
    if all(track.limit is not None for track in tracks):
        limit = 1e3 * np.concatenate([track.limit for track in tracks if track.limit is not None])
        values["coverage_90"] = float((errors < limit)[:, 1:].mean())
        root = np.concatenate([track.root_error for track in tracks if track.root_error is not None])
        values["root_error_cm"] = float(1e2 * np.median(root))
    return values


def table(report: dict[str, dict[str, dict[str, float]]]) -> Table:
    ours, theirs = report["MambaPose"], report["MediaPipe"]
    made = Table("motion", "system", title="synthetic person, rendered, 640x480")
    for name in ours["all"]:
        made.add_column(name, justify="right")
    made.add_column("MPJPE ratio", justify="right")
    made.add_column("PA ratio", justify="right")
    for motion in ours:
        for system, row in (("MediaPipe", theirs[motion]), ("MambaPose", ours[motion])):
            values = [f"{row[name]:.3g}" if name in row else "" for name in ours["all"]]
            ratios = [f"{row[name] / theirs[motion][name]:.2f}" for name in ("mpjpe", "pa_mpjpe")]
            made.add_row(motion, system, *values, *ratios)
    return made


if __name__ == "__main__":
    main()
