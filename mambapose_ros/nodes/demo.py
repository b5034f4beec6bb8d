"""The demo: source_node and pose_node as processes of their own, watched over DDS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.table import Table
from sensor_msgs.msg import Image

from mambapose_ros.drawing import caption, draw_skeletons_3d, tile
from mambapose_ros.errors import UserError
from mambapose_ros.msg import PersonKeypointsArray, Skeleton, SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import image_to_rgb, stamp_to_ns
from mambapose_ros.nodes.localhost import stay_on_this_machine
from mambapose_ros.results import VideoWriter
from mambapose_ros.training.metrics import joint_errors
from mambapose_ros.types import Skeleton3D

NAMESPACE = "/mambapose_demo"
START_TIMEOUT_S = 60.0
"""A cold start reads a few hundred megabytes of libraries from disk."""
STOP_TIMEOUT_S = 10.0
VIDEO_RATE = 30.0
OVERVIEW_PICTURES = 6
KEPT_PICTURES = 8 * OVERVIEW_PICTURES
EVERY_ONE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""What is compared by stamp must not be lost while the demo is busy."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo shows.

    Attributes:
        source: as ``source_node``'s parameter.
        seconds: how long, from the first result on.
        output: folder for annotated.mp4 and overview.png.
        camera_info: calibration file; empty = assumed intrinsics.
        weights: name or file of the lifter; empty = pose_node's own.
    """

    source: str
    seconds: float
    output: Path
    camera_info: str = ""
    weights: str = ""


@dataclass(frozen=True)
class _Result:
    arrived: float  # time.monotonic()
    latency_s: float  # from the image's stamp to the arrival of its result
    people: int


@dataclass(frozen=True)
class Error3D:
    """How far one person in one image is from the truth, joint by joint from the pelvis and at the pelvis."""

    arrived: float  # time.monotonic()
    root_aligned_mm: float
    root_cm: float


@dataclass(frozen=True)
class Picture:
    """An annotated image: when it was taken, since the first one and by the source's clock."""

    seconds: float
    stamp_ns: int
    image: np.ndarray


class Monitor(Node):
    """Listens to what ``pose_node`` publishes, as any other node would."""

    def __init__(self, output: Path) -> None:
        super().__init__("demo_monitor", namespace=NAMESPACE)
        self.results: deque[_Result] = deque()
        self.pictures: list[Picture] = []
        self.diagnostics: dict[str, str] = {}
        self.skeletons: dict[int, tuple[Skeleton3D, ...]] = {}  # by stamp
        self.truth: dict[int, tuple[Skeleton3D, ...]] = {}
        self.errors: list[Error3D] = []
        self._picture_spacing_s = 0.4
        self._video = _RealTimeVideo(output / "annotated.mp4")
        self.create_subscription(PersonKeypointsArray, "keypoints", self._on_keypoints, qos.RESULT_OUTPUT)
        self.create_subscription(SkeletonArray, "skeletons", self._on_skeletons, EVERY_ONE)
        self.create_subscription(SkeletonArray, "ground_truth/skeletons", self._on_truth, EVERY_ONE)
        self.create_subscription(Image, "annotated", self._on_annotated, qos.RESULT_OUTPUT)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def close(self) -> None:
        """Finish the video."""
        self._video.close()

    def _on_keypoints(self, message: PersonKeypointsArray) -> None:
        latency_ns = self.get_clock().now().nanoseconds - stamp_to_ns(message.header.stamp)
        self.results.append(_Result(time.monotonic(), latency_ns * 1e-9, len(message.people)))

    def _on_skeletons(self, message: SkeletonArray) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self.skeletons[stamp_ns] = _people_of(message)
        self._compare(stamp_ns)

    def _on_truth(self, message: SkeletonArray) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self.truth[stamp_ns] = _people_of(message)
        self._compare(stamp_ns)

    def _compare(self, stamp_ns: int) -> None:
        """Once both are there; on a busy machine the truth can come later."""
        pairs = match(self.skeletons.get(stamp_ns, ()), self.truth.get(stamp_ns, ()))
        self.errors.extend(error_of(person, truth) for person, truth in pairs)

    def _on_annotated(self, message: Image) -> None:
        image, stamp_ns = image_to_rgb(message), stamp_to_ns(message.header.stamp)
        seconds = self._video.write(stamp_ns, image)
        if not self.pictures or seconds - self.pictures[-1].seconds >= self._picture_spacing_s:
            self.pictures.append(Picture(seconds, stamp_ns, image))
        if len(self.pictures) > KEPT_PICTURES:  # a long demo keeps as many, further apart
            self.pictures = self.pictures[::2]
            self._picture_spacing_s *= 2

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(NAMESPACE):
                self.diagnostics = {value.key: value.value for value in status.values}
                self.diagnostics["message"] = status.message


def _people_of(message: SkeletonArray) -> tuple[Skeleton3D, ...]:
    return tuple(
        Skeleton3D(
            id=skeleton.id,
            joints=np.array([(joint.position.x, joint.position.y, joint.position.z) for joint in skeleton.joints]),
            confidence=np.array([joint.confidence for joint in skeleton.joints]),
            scale_source="none",
        )
        for skeleton in message.skeletons
        if skeleton.tracking_state != Skeleton.TRACKING_LOST
    )


def match(people: Sequence[Skeleton3D], truth: Sequence[Skeleton3D]) -> list[tuple[Skeleton3D, Skeleton3D]]:
    """Pairs of the same person: those whose pelvises lie closest together; people without a pelvis have none."""
    from scipy.optimize import linear_sum_assignment

    people = [person for person in people if np.isfinite(person.joints[0]).all()]
    if not people or not truth:
        return []
    places, true_places = (np.array([person.joints[0] for person in group]) for group in (people, truth))
    distances = np.linalg.norm(places[:, None] - true_places[None], axis=-1)
    return [(people[i], truth[j]) for i, j in zip(*linear_sum_assignment(distances), strict=True)]


def error_of(person: Skeleton3D, truth: Skeleton3D) -> Error3D:
    """Of the joints that the person has."""
    errors_mm = joint_errors(person.joints - person.joints[0], truth.joints - truth.joints[0])
    root_cm = 100.0 * float(np.linalg.norm(person.joints[0] - truth.joints[0]))
    return Error3D(time.monotonic(), float(np.nanmean(errors_mm)), root_cm)


def describe_errors(errors: Sequence[Error3D]) -> str:
    """Their medians."""
    mpjpe_mm, root_cm = np.median([(error.root_aligned_mm, error.root_cm) for error in errors], axis=0)
    return f"MPJPE {mpjpe_mm:.0f} mm, root {root_cm:.0f} cm"


@dataclass
class _RealTimeVideo:
    """A video of constant rate from images at any rate: each is shown until the next."""

    path: Path
    _writer: VideoWriter | None = field(default=None, init=False)
    _first_ns: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)

    def write(self, stamp_ns: int, image: np.ndarray) -> float:
        """Add an image; returns the seconds since the first."""
        if self._writer is None:
            self._writer, self._first_ns = VideoWriter(self.path, VIDEO_RATE), stamp_ns
        seconds = (stamp_ns - self._first_ns) * 1e-9
        while self._written <= round(seconds * VIDEO_RATE):
            self._writer.write(image)
            self._written += 1
        return seconds

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Process:
    """One node, run as its own process; its output goes to a file, to be shown if it fails."""

    def __init__(self, node: str, parameters: dict[str, str]) -> None:
        self.node = node
        self._log = tempfile.TemporaryFile(mode="w+")
        arguments = [argument for pair in parameters.items() for argument in ("-p", "{}:={}".format(*pair))]
        executable = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros" / node
        self._process = subprocess.Popen(
            [str(executable), "--ros-args", "-r", f"__ns:={NAMESPACE}", *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends its processes in order
        )

    def check(self) -> None:
        """Raises UserError with the end of its output when the process has ended."""
        if self._process.poll() is not None:
            raise UserError(f"{self.node} ended with status {self._process.returncode}:\n{self.output()}")

    def output(self) -> str:
        """The last lines that the process printed."""
        self._log.seek(0)
        return "".join(self._log.readlines()[-15:]).rstrip()

    def stop(self) -> None:
        """Ask the process to end as Ctrl-C would, and insist if it does not."""
        for end in (lambda: self._process.send_signal(2), self._process.terminate, self._process.kill):
            if self._process.poll() is None:
                end()
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()


def run_demo(options: DemoOptions) -> int:
    """Start the nodes, watch them, stop them, write the files; returns the exit status.

    Raises:
        UserError: when a node ends by itself, or nothing arrives.
    """
    _check_output(options.output)
    stay_on_this_machine(os.environ)
    console = Console()
    console.print(f"starting source_node ({options.source}) and pose_node under {NAMESPACE}")
    # However the demo is ended, it ends its nodes first.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    monitor = Monitor(options.output)
    spinning = threading.Thread(target=_spin, args=(monitor,), daemon=True)
    spinning.start()
    processes: list[_Process] = []
    try:
        processes.append(_Process("pose_node", {"weights": _quoted(options.weights)} if options.weights else {}))
        source = {"source": _quoted(options.source), "camera_info_file": _quoted(options.camera_info)}
        processes.append(_Process("source_node", source))
        _wait_for_first_result(monitor, processes)
        _watch(monitor, processes, options.seconds, console)
    finally:
        for process in processes:
            process.stop()
        rclpy.try_shutdown()
        spinning.join()
        monitor.close()
        monitor.destroy_node()
    return _summarize(monitor, options, console)


def _check_output(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another output") from error


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt


def _quoted(text: str) -> str:
    """As a YAML string, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def _spin(node: Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


def _wait_for_first_result(monitor: Monitor, processes: list[_Process]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not monitor.results:
        _check_all(processes)
        problem = ""
        # It starts by itself, and answers only afterwards: still unconfigured, it has given up.
        if monitor.diagnostics.get("state") == "unconfigured":
            problem = "pose_node could not be configured"
        elif time.monotonic() > deadline:
            problem = f"no result within {START_TIMEOUT_S:.0f} s"
        if problem:
            logs = "\n".join(f"--- {process.node}\n{process.output()}" for process in processes)
            raise UserError(f"{problem}\n{logs}")
        time.sleep(0.05)


def _watch(monitor: Monitor, processes: list[_Process], seconds: float, console: Console) -> None:
    """Show a live table on a terminal, a line every few seconds elsewhere."""
    end = time.monotonic() + seconds
    try:
        if console.is_terminal:
            with Live(_table(_figures(monitor)), console=console, refresh_per_second=4) as live:
                while time.monotonic() < end:
                    time.sleep(0.25)
                    _check_all(processes)
                    live.update(_table(_figures(monitor)))
        else:
            while time.monotonic() < end:
                time.sleep(min(3.0, max(0.0, end - time.monotonic())))
                _check_all(processes)
                print("  ".join(f"{name} {value}" for name, value in _figures(monitor).items()), flush=True)
    except KeyboardInterrupt:
        console.print("stopped early")


def _check_all(processes: list[_Process]) -> None:
    for process in processes:
        process.check()


def _figures(monitor: Monitor) -> dict[str, str]:
    recent = [result for result in list(monitor.results) if result.arrived > time.monotonic() - 3.0]
    latency = np.percentile([result.latency_s * 1e3 for result in recent], (50, 95)) if recent else (np.nan, np.nan)
    return {
        "images in": f"{float(monitor.diagnostics.get('rate_in_hz', 'nan')):.1f}/s",
        "results out": f"{len(recent) / 3.0:.1f}/s",
        "latency p50": f"{latency[0]:.0f} ms",
        "p95": f"{latency[1]:.0f} ms",
        "people": str(recent[-1].people) if recent else "-",
        "3D error": describe_errors(monitor.errors[-100:]) if monitor.errors else "-",
        "dropped": monitor.diagnostics.get("dropped", "-"),
        "status": monitor.diagnostics.get("message", "starting"),
    }


def _table(figures: dict[str, str]) -> Table:
    table = Table(title="mambapose demo", show_header=False)
    for name, value in figures.items():
        table.add_row(name, value)
    return table


def _summarize(monitor: Monitor, options: DemoOptions, console: Console) -> int:
    import cv2

    # The first second holds the start of the models, which a robot pays once.
    warm = min(1.0, 0.5 * options.seconds)
    results = [result for result in monitor.results if result.arrived > monitor.results[0].arrived + warm]
    if len(results) < 2 or not monitor.pictures:
        raise UserError("the nodes stopped publishing: nothing to summarize")
    overview = options.output / "overview.png"
    cv2.imwrite(str(overview), cv2.cvtColor(_overview(monitor), cv2.COLOR_RGB2BGR))
    latency = np.percentile([result.latency_s * 1e3 for result in results], (50, 95))
    rate = (len(results) - 1) / (results[-1].arrived - results[0].arrived)
    seen = np.mean([result.people > 0 for result in results])
    console.print(
        f"{len(results)} results at {rate:.1f}/s, latency p50 {latency[0]:.0f} ms p95 {latency[1]:.0f} ms, "
        f"somebody found in {seen:.0%}, {monitor.diagnostics.get('dropped', '?')} images dropped",
        soft_wrap=True,
    )
    console.print(_describe_3d(monitor, results[0].arrived), soft_wrap=True)
    console.print(f"wrote {options.output / 'annotated.mp4'} and {overview}", soft_wrap=True)
    return 0


def _overview(monitor: Monitor) -> np.ndarray:
    """Some of the annotated images, each with its people in space (the truth in grey) beside it."""
    chosen = np.linspace(0, len(monitor.pictures) - 1, OVERVIEW_PICTURES).round().astype(int)
    pictures = []
    for picture in (monitor.pictures[i] for i in chosen):
        height, width = picture.image.shape[:2]
        people = monitor.skeletons.get(picture.stamp_ns, ())
        space = draw_skeletons_3d(people, (width, height), monitor.truth.get(picture.stamp_ns, ()))
        pictures.append(np.hstack([caption(picture.image, f"{picture.seconds:.1f} s"), space]))
    return tile(pictures, columns=2, width=1920)


def _describe_3d(monitor: Monitor, since: float) -> str:
    if not any(monitor.skeletons.values()):
        return f"no skeletons; lifter: {monitor.diagnostics.get('lifter', 'unknown')}"
    errors = [error for error in monitor.errors if error.arrived >= since]
    if errors:
        return f"3D error against the exact skeletons, median of {len(errors)}: {describe_errors(errors)}"
    return "skeletons came; nothing to compare them with, for only a synthetic source knows the truth"
