"""2D front ends on the synthetic person: time per image, share of people found, and error, next to MediaPipe.

    python benchmarks/detectors.py                            those whose weights are here; half a minute
    python benchmarks/detectors.py --frames 90 --people 1 2 4
    python benchmarks/detectors.py --device cuda --output detectors.json

All front ends see the same images in turn, in this process. `solutions.pose` is MediaPipe's own for one person.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mambapose_ros.perception.keypoints import DetectorUnavailable, KeypointDetector, make_detector
from mambapose_ros.skeleton import BLAZEPOSE_TO_H36M, map_landmarks
from mambapose_ros.sources import SourceFrame, SourceOptions, open_source
from mambapose_ros.types import Frame, PersonKeypoints

NAMES = ("mediapipe", "vitpose", "keypoint_rcnn")
FOUND = 0.12  # median joint error, as a fraction of a person's height, up to which a find is that person
SEEN = 0.5  # share of joints that must be visible for a person to count


@dataclasses.dataclass(frozen=True)
class Row:
    """One front end on one kind of scene.

    Attributes:
        median_ms, mean_ms: per image; `mean_ms` holds the images with a search for people.
        ratio: mean over mediapipe's mean.
        found: share of the people in view who are found.
        surplus: finds per image that are nobody, or somebody twice.
        error: median over joints, as a fraction of a person's height.
    """

    people: int
    detector: str
    images: int
    median_ms: float
    mean_ms: float
    ratio: float
    found: float
    surplus: float
    error: float


class SolutionsPose:
    """`mediapipe.solutions.pose`, as it comes."""

    def __init__(self) -> None:
        import mediapipe

        self._pose = mediapipe.solutions.pose.Pose(model_complexity=1)

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        found = self._pose.process(frame.image).pose_landmarks
        if found is None:
            return ()
        points = np.array([(point.x, point.y, point.visibility) for point in found.landmark])
        size = (frame.camera.width, frame.camera.height)
        return (PersonKeypoints(*map_landmarks(BLAZEPOSE_TO_H36M, points[:, :2] * size - 0.5, points[:, 2])),)

    def reset(self) -> None:
        self._pose.reset()

    def close(self) -> None:
        self._pose.close()


@dataclasses.dataclass
class Tally:
    """What one front end did on the images so far."""

    ms: list[float] = dataclasses.field(default_factory=list)
    errors: list[float] = dataclasses.field(default_factory=list)
    seen: int = 0
    found: int = 0
    surplus: int = 0

    def add(self, people: tuple[PersonKeypoints, ...], source_frame: SourceFrame) -> None:
        truth = source_frame.truth
        assert truth is not None
        heights = np.ptp(truth.keypoints[..., 1], axis=1)
        there = truth.visibility.mean(axis=1) > SEEN
        taken: set[int] = set()
        for person in people:
            apart = np.nanmedian(np.linalg.norm(person.xy - truth.keypoints, axis=2), axis=1) / heights
            nearest = int(apart.argmin())
            if apart[nearest] > FOUND or nearest in taken:
                self.surplus += 1
            else:
                taken.add(nearest)
                self.errors.append(float(apart[nearest]))
        self.seen += int(there.sum())
        self.found += sum(bool(there[index]) for index in taken)


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    detectors = usable_detectors(arguments, console)
    rows = [row for people in arguments.people for row in run_case(detectors, people, arguments)]
    console.print(table(rows))
    if arguments.output:
        arguments.output.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n")
        console.print(f"wrote {arguments.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detectors", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--motions", nargs="+", default=["walk", "squat", "turn"])
    parser.add_argument("--people", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--frames", type=int, default=45, help="of each motion")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


def usable_detectors(arguments: argparse.Namespace, console: Console) -> dict[str, KeypointDetector]:
    """The front ends to run, mediapipe first; says why the others do not run."""
    usable: dict[str, KeypointDetector] = {}
    for name in dict.fromkeys(["mediapipe", *arguments.detectors]):
        try:
            usable[name] = make_detector(name, device=arguments.device)
        except DetectorUnavailable as error:
            console.print(str(error), style="dim")
    if "mediapipe" not in usable:
        raise SystemExit("expected mediapipe, which the others are compared to: see above")
    return usable


def run_case(detectors: dict[str, KeypointDetector], people: int, arguments: argparse.Namespace) -> list[Row]:
    """All front ends on the same scenes."""
    running: dict[str, KeypointDetector] = dict(detectors)
    if people == 1:
        running["solutions.pose"] = SolutionsPose()
    tallies = {name: Tally() for name in running}
    for seed, motion in enumerate(arguments.motions):
        for detector in running.values():
            detector.reset()
        source = open_source(f"synthetic:{motion}", SourceOptions(people=people, seed=seed))
        for index, source_frame in zip(range(arguments.frames), source, strict=False):
            for name, detector in running.items():
                start = time.perf_counter()
                found = detector(source_frame.frame)
                if index:  # the first image loads and searches everything
                    tallies[name].ms.append((time.perf_counter() - start) * 1e3)
                tallies[name].add(found, source_frame)
    base = statistics.mean(tallies["mediapipe"].ms)
    return [
        Row(
            people=people,
            detector=name,
            images=arguments.frames * len(arguments.motions),
            median_ms=statistics.median(tally.ms),
            mean_ms=statistics.mean(tally.ms),
            ratio=statistics.mean(tally.ms) / base,
            found=tally.found / max(1, tally.seen),
            surplus=tally.surplus / (arguments.frames * len(arguments.motions)),
            error=statistics.median(tally.errors) if tally.errors else float("nan"),
        )
        for name, tally in tallies.items()
    ]


def table(rows: list[Row]) -> Table:
    result = Table(title="2D front ends on the synthetic person, 640x480; ratio = mean time over mediapipe's")
    for column in ("people", "detector", "median ms", "mean ms", "ratio", "found", "surplus", "error"):
        result.add_column(column, justify="left" if column == "detector" else "right", no_wrap=True)
    for row in rows:
        result.add_row(
            str(row.people),
            row.detector,
            f"{row.median_ms:.1f}",
            f"{row.mean_ms:.1f}",
            f"{row.ratio:.2f}x",
            f"{row.found:.0%}",
            f"{row.surplus:.3f}",
            f"{row.error:.1%}",
        )
    return result


if __name__ == "__main__":
    main()
