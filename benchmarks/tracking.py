"""Ids of four people who cross each other: the tracker against greedy box overlap, scored by py-motmetrics.

    python benchmarks/tracking.py                    ten seeds of a minute each
    python benchmarks/tracking.py --seeds 3 --rate 10
    python benchmarks/tracking.py --at-once 4        also two and three people out of sight at the same time

Synthetic people walk before a camera, to and fro (even seeds) or in rings (odd ones). A detector sees them with
MediaPipe's errors (``detector_noise``, which also loses somebody for 0.3 s now and then), misses each of them in one
image of ten, and does not see whoever passes behind somebody else for one second. Both trackers get the same
detections. What they return is scored three times: those they have seen against the people detected; everybody but who
is returned in the place of hidden people, against the people in view, detected or missed; everybody against everybody.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.synthetic.body import Body, joints, place, rotation
from mambapose_ros.synthetic.motions import walk
from mambapose_ros.training import detector_noise
from mambapose_ros.training.cameras import Cameras
from mambapose_ros.types import PersonKeypoints

PEOPLE = 4
MISSED = 0.1  # of the images, for each person
HIDDEN_S = 1.0
METRICS = ("idf1", "num_switches", "num_transfer", "num_fragmentations", "mota")
TO_OPTICAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
CAMERA_HEIGHT_M = 1.2

PeopleTracker = Callable[[int, Sequence[PersonKeypoints]], tuple[PersonKeypoints, ...]]


@dataclasses.dataclass(frozen=True)
class Crossings:
    """People who cross each other, F images of them.

    Attributes:
        stamps_ns: (F,) of the images.
        keypoints: (P, F, 17, 2) pixels, where joints are.
        detections: (F) tuples of what a detector finds, in random order.
        owners: (F) of them, arrays of who they are.
        hidden: (P, F) bool, whom no detector sees, for longer than an image.
        crossings: how often somebody passes behind somebody else.
    """

    stamps_ns: np.ndarray
    keypoints: np.ndarray
    detections: tuple[tuple[PersonKeypoints, ...], ...]
    owners: tuple[np.ndarray, ...]
    hidden: np.ndarray
    crossings: int


def crossing_people(seed: int, seconds: float, rate: float, at_once: int = 1) -> Crossings:
    """The scene of a seed, with at most so many people behind others at once."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    camera = Camera.from_fov(640, 480)
    paths = (lanes, rings)[seed % 2](rng, times)
    bodies = [Body.random(rng) for _ in range(PEOPLE)]
    walked = [walk_along(path, body) for path, body in zip(paths, bodies, strict=True)]
    in_space = np.stack([joints for joints, _ in walked])
    keypoints = camera.project(in_space)
    hidden, crossings = hide_behind(in_space[:, :, 0], keypoints[:, :, 0, 0], round(HIDDEN_S * rate), at_once)

    size = len(bodies), len(times)
    half = 0.5 * np.array([camera.width, camera.height]) / camera.K[0, 0]
    found = detector_noise.detect(
        rng,
        detector_noise.Body(
            in_space.astype(np.float32),
            np.stack([ahead for _, ahead in walked]).astype(np.float32),
            np.array([body.scale for body in bodies], np.float32),
        ),
        Cameras(
            np.broadcast_to(np.eye(3, dtype=np.float32), (*size, 3, 3)),
            np.zeros((*size, 3), np.float32),
            np.tile(half.astype(np.float32), (len(bodies), 1)),
            np.full(len(bodies), 1.0 / camera.K[0, 0], np.float32),
        ),
        occluded=np.zeros((*size, NUM_JOINTS), dtype=bool),
        family=np.full(len(bodies), detector_noise.FAMILIES.index(detector_noise.MEDIAPIPE)),
        interval=np.full(len(bodies), 1.0 / rate),
    )
    hidden |= (found.confidence == 0).all(axis=2)  # lost by the detector, for about 0.3 s
    detected = ~hidden & (rng.random(size) >= MISSED)
    xy = found.rays @ camera.K[:2, :2].T + camera.K[:2, 2]
    xy = np.where(found.confidence[..., None] > 0, xy, np.nan)
    confidence = found.confidence.astype(np.float64)
    owners = tuple(rng.permutation(np.flatnonzero(there)) for there in detected.T)
    detections = tuple(
        tuple(PersonKeypoints(xy[person, frame], confidence[person, frame]) for person in people)
        for frame, people in enumerate(owners)
    )
    stamps_ns = np.round(times * 1e9).astype(np.int64)
    return Crossings(stamps_ns, keypoints, detections, owners, hidden, crossings)


def lanes(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """(P, F, 2) metres ahead and to the left of people who walk to and fro, one behind the other."""
    turns = times / rng.uniform(8.0, 12.0, (2, PEOPLE, 1)) + rng.random((2, PEOPLE, 1))
    lane = 3.7 + 0.8 * rng.permutation(PEOPLE)[:, None]
    reach = rng.uniform(1.3, 1.7, (PEOPLE, 1))
    return np.stack([lane + 0.15 * np.sin(2.0 * np.pi * turns[0]), reach * np.sin(2.0 * np.pi * turns[1])], axis=2)


def rings(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """(P, F, 2) metres ahead and to the left of people who go round, two inside and two outside, in any direction."""
    inside = np.arange(PEOPLE)[:, None] < PEOPLE // 2
    period = np.where(inside, rng.uniform(5.5, 7.0), rng.uniform(8.0, 11.0)) * rng.choice([-1.0, 1.0], 2)[inside * 1]
    angle = 2.0 * np.pi * (times / period + rng.random(2)[inside * 1]) + np.pi * (np.arange(PEOPLE)[:, None] % 2)
    depth, reach = np.where(inside, 0.6, 1.3), np.where(inside, 0.9, 1.6)
    return np.stack([5.0 + depth * np.cos(angle), reach * np.sin(angle)], axis=2)


def walk_along(path: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Joints (F, 17, 3) of somebody walking along a path (F, 2), and the directions (F, 3) they face; optical frame."""
    steps = np.diff(path, axis=0, append=2 * path[-1:] - path[-2:-1])
    walked = np.cumsum(np.linalg.norm(steps, axis=1)) / (0.68 * body.stature)  # as fast as ``walk`` does
    headings = np.degrees(np.arctan2(steps[:, 1], steps[:, 0]))
    result, ahead = np.empty((len(path), NUM_JOINTS, 3)), np.empty((len(path), 3))
    for frame, (place_, time_, heading) in enumerate(zip(path, walked, headings, strict=True)):
        pose = walk(time_, body)
        turn = rotation(yaw=heading - pose.heading)
        on_floor = np.array([*pose.pelvis[:2], 0.0])
        result[frame] = (joints(body, place(body, pose)) - on_floor) @ turn.T + (*place_, -CAMERA_HEIGHT_M)
        ahead[frame] = rotation(yaw=heading)[:, 0]
    return result @ TO_OPTICAL.T, ahead @ TO_OPTICAL.T


def hide_behind(pelvis: np.ndarray, columns: np.ndarray, length: int, at_once: int) -> tuple[np.ndarray, int]:
    """Who is hidden when people pass behind each other.

    Args:
        pelvis: (P, F, 3) metres, optical frame.
        columns: (P, F) pixels, where they are in the image.
        length: images that somebody is hidden, half of them before passing; who passes behind one after another is not
            hidden longer.
        at_once: people hidden at most; who passes behind somebody while so many are hidden is seen.

    Returns:
        (P, F) bool, and how often somebody passes behind somebody else.
    """
    pairs = [(a, b) for a in range(len(columns)) for b in range(a)]
    passing = sorted(
        (frame, a if pelvis[a, frame, 2] > pelvis[b, frame, 2] else b)
        for a, b in pairs
        for frame in np.flatnonzero(np.diff(np.sign(columns[a] - columns[b])))
    )
    hidden = np.zeros(columns.shape, dtype=bool)
    for frame, behind in passing:
        first = frame - length // 2
        time = slice(max(0, first), first + length)
        seen = not hidden[behind, max(0, first - length // 3) : first + length + length // 3].any()
        if first > length and seen and hidden[:, time].sum(axis=0).max() < at_once:
            hidden[behind, time] = True
    return hidden, len(passing)


class GreedyBoxTracker:
    """The baseline: the pair of boxes that overlap most first, with the ids of people out of sight kept as long."""

    def __init__(self, timeout: float = 2.0, least_overlap: float = 0.1) -> None:
        self._timeout_ns, self._least_overlap = timeout * 1e9, least_overlap
        self._tracks: dict[str, tuple[int, PersonKeypoints]] = {}
        self._ids_given = 0

    def __call__(self, stamp_ns: int, people: Sequence[PersonKeypoints]) -> tuple[PersonKeypoints, ...]:
        tracks = {name: last for name, last in self._tracks.items() if stamp_ns - last[0] <= self._timeout_ns}
        names, overlap = list(tracks), 1.0 - overlap_distances(people, [person for _, person in tracks.values()])
        found: dict[int, str] = {}
        while overlap.size and np.nanmax(overlap, initial=0.0) > self._least_overlap:
            i, j = np.unravel_index(np.nanargmax(overlap), overlap.shape)
            found[int(i)] = names[j]
            overlap[i], overlap[:, j] = np.nan, np.nan
        for i in range(len(people)):
            if i not in found:
                self._ids_given += 1
                found[i] = f"p{self._ids_given}"
        named = tuple(dataclasses.replace(person, id=found[i]) for i, person in enumerate(people))
        self._tracks = tracks | {person.id: (stamp_ns, person) for person in named}
        return named


def overlap_distances(a: Sequence[PersonKeypoints], b: Sequence[PersonKeypoints]) -> np.ndarray:
    """(N, M) 1 - intersection over union of boxes."""
    boxes_a, boxes_b = (np.array([person.box for person in people]).reshape(-1, 4) for people in (a, b))
    low = np.maximum(boxes_a[:, None, :2], boxes_b[:, :2])
    shared = np.clip(np.minimum(boxes_a[:, None, 2:], boxes_b[:, 2:]) - low, 0.0, None).prod(axis=2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (boxes_a, boxes_b))
    return 1.0 - shared / (area_a[:, None] + area_b - shared)


@dataclasses.dataclass(frozen=True)
class Tracked:
    """What a tracker returned for each image, and the milliseconds it took."""

    frames: tuple[tuple[PersonKeypoints, ...], ...]
    milliseconds: tuple[float, ...]


def track(scene: Crossings, tracker: PeopleTracker) -> Tracked:
    frames, milliseconds = [], []
    for stamp_ns, people in zip(scene.stamps_ns, scene.detections, strict=True):
        start = time.perf_counter()
        frames.append(tracker(int(stamp_ns), people))
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return Tracked(tuple(frames), tuple(milliseconds))


def count_swaps(scene: Crossings, tracked: Tracked) -> int:
    """How often an id goes over from one person to another."""
    had: dict[str, int] = {}
    swaps = 0
    for detections, owners, people in zip(scene.detections, scene.owners, tracked.frames, strict=True):
        for detection, owner in zip(detections, owners, strict=True):
            for person in people:
                if person.xy is detection.xy:
                    swaps += had.get(person.id, owner) != owner
                    had[person.id] = owner
    return swaps


def score(scene: Crossings, tracked: Tracked, of: str) -> dict[str, float]:
    """py-motmetrics' figures of "detected" people, those "in view", or "everybody"; somebody is found where the boxes
    around the joints overlap by half or more."""
    import motmetrics

    accumulator = motmetrics.MOTAccumulator()
    for frame, (people, owners) in enumerate(zip(tracked.frames, scene.owners, strict=True)):
        truth = [PersonKeypoints(xy, np.ones(NUM_JOINTS)) for xy in scene.keypoints[:, frame]]
        returned = [person for person in people if person.state != "lost"]
        distances = overlap_distances(truth, returned)
        predicted = np.array([person.state == "predicted" for person in returned], dtype=bool)
        if of == "detected":
            there, counts = np.sort(owners), ~predicted
        elif of == "in view":
            there = np.flatnonzero(~scene.hidden[:, frame])
            counts = ~predicted | ~scene.hidden[distances.argmin(axis=0), frame]
        else:
            there, counts = np.arange(len(truth)), np.full(len(returned), True)
        names = [int(person.id[1:]) for person, counted in zip(returned, counts, strict=True) if counted]
        distances[distances > 0.5] = np.nan
        accumulator.update(there, names, distances[there][:, counts], frameid=frame)
    return motmetrics.metrics.create().compute(accumulator, metrics=list(METRICS), return_dataframe=False)


def main() -> None:
    arguments = parse_arguments()
    console = Console(width=max(Console().width, 150))  # narrower, the headings would be cut
    rows: list[dict[str, object]] = []
    for seed in range(arguments.seeds):
        scene = crossing_people(seed, arguments.seconds, arguments.rate, arguments.at_once)
        console.print(
            f"seed {seed}: {scene.crossings} crossings, people are hidden {scene.hidden.mean():.0%} of the time",
            style="dim",
        )
        for name, tracker in (("Tracker", Tracker()), ("greedy box overlap", GreedyBoxTracker())):
            tracked = track(scene, tracker)
            figures = {
                "ids": len({person.id for people in tracked.frames for person in people}),
                "id_swaps": count_swaps(scene, tracked),
                "median_ms": statistics.median(tracked.milliseconds),
            }
            for of in ("detected", "in view", "everybody"):
                rows.append({"of": of, "tracker": name, "seed": seed, **figures, **score(scene, tracked, of)})
    console.print(table(rows))
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2, default=float) + "\n")
        console.print(f"wrote {arguments.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--at-once", type=int, default=1, help="people who may be behind others at once")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


def table(rows: list[dict[str, object]]) -> Table:
    columns = ("ids", "id_swaps", *METRICS, "median_ms")
    result = Table(title="median (range over seeds)")
    for column in ("of", "tracker", *columns):
        result.add_column(column)
    for kind in dict.fromkeys((row["of"], row["tracker"]) for row in rows):
        values = [[float(row[column]) for row in rows if (row["of"], row["tracker"]) == kind] for column in columns]
        result.add_row(*kind, *(f"{statistics.median(v):.3g} ({min(v):.3g}-{max(v):.3g})" for v in values))
    return result


if __name__ == "__main__":
    main()
