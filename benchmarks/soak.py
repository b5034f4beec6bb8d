"""An hour of a recording that loops, in simulated time: memory of pose_node, ids, crashes.

Images follow each other as fast as pose_node takes them; at the end of the recording their stamps jump back to its
beginning, as `ros2 bag play --loop --clock` does it. A loop is noticed when nobody in it has an id of an earlier one.

    python benchmarks/soak.py --seconds 3600 --json soak.json

Exit status 1: pose_node ended, an id came again, nobody was seen or, with weights, placed in a loop, or memory grew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from ament_index_python.packages import get_package_prefix

from mambapose_ros.nodes.localhost import stay_on_this_machine

NAMESPACE = "/soak"
START_NS = 1_700_000_000 * 10**9  # of the recording, long ago
WAIT_S = 120.0


@dataclass
class Figures:
    """What came of it.

    Attributes:
        seconds: of simulated time.
        images, results: sent, and come back.
        skeletons, markers: messages of each loop with somebody in them.
        memory_mb: resident, at the end of each loop.
        ids: people of each loop.
        reused: ids that were somebody's in an earlier loop.
        crashed: whether pose_node ended by itself.
    """

    seconds: float = 0.0
    images: int = 0
    results: int = 0
    skeletons: list[int] = field(default_factory=list)
    markers: list[int] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    ids: list[list[str]] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    crashed: bool = False

    def passed(self, lifted: bool, most_growth: float) -> bool:
        seen = [self.ids, *([self.skeletons, self.markers] if lifted else [])]
        everywhere = all(loops and all(loops) for loops in seen)
        return not self.crashed and not self.reused and everywhere and self.growth <= most_growth

    @property
    def growth(self) -> float:
        """Fraction that memory grew by after the first tenth of the loops, in which caches fill."""
        settled = self.memory_mb[len(self.memory_mb) // 10 :]
        return settled[-1] / settled[0] - 1.0 if settled else float("nan")


class Player:
    """A pose_node process, and a recording that is played to it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        import rclpy
        from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import Image
        from visualization_msgs.msg import MarkerArray

        from mambapose_ros.nodes import qos
        from mambapose_ros.synthetic import SyntheticScene

        executable = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros" / "pose_node"
        given = {"use_sim_time": "true", "weights": arguments.weights or "''", "window": arguments.window}
        pairs = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [str(executable), "--ros-args", "-r", f"__ns:={NAMESPACE}", *pairs]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rclpy.init()
        self._rclpy, self._node = rclpy, rclpy.create_node("player")
        self._images = self._node.create_publisher(Image, f"{NAMESPACE}/image", qos.IMAGE_OUTPUT)
        self._clock = self._node.create_publisher(Clock, "/clock", 10)
        self._results: dict[int, set[str]] = {}
        self._node.create_subscription(PersonKeypointsArray, f"{NAMESPACE}/keypoints", self._on_result, 10)
        # Whoever is not listened to does not lift.
        self._skeletons, self._markers = 0, 0
        self._node.create_subscription(SkeletonArray, f"{NAMESPACE}/skeletons", self._on_skeletons, 10)
        self._node.create_subscription(MarkerArray, f"{NAMESPACE}/markers", self._on_markers, 10)
        scene = SyntheticScene(
            motion="walk", people=1, seed=0, width=arguments.width, height=arguments.height, fps=arguments.fps
        )
        self._pictures = [scene.render(index).image for index in range(round(arguments.loop * arguments.fps))]
        self._step_ns = round(1e9 / arguments.fps)

    def connect(self) -> None:
        """Wait until pose_node takes images."""
        deadline = time.monotonic() + WAIT_S
        while not self._images.get_subscription_count():
            if time.monotonic() > deadline or not self.running:
                raise SystemExit("pose_node did not start")
            self._rclpy.spin_once(self._node, timeout_sec=0.05)

    def play(self, figures: Figures) -> None:
        """The recording, once from beginning to end."""
        people: set[str] = set()
        self._skeletons, self._markers = 0, 0
        for index, picture in enumerate(self._pictures):
            stamp_ns = START_NS + index * self._step_ns
            self._results.clear()
            self._show(stamp_ns, picture)
            deadline = time.monotonic() + WAIT_S / 60  # best effort: an image may get lost
            while stamp_ns not in self._results and time.monotonic() < deadline and self.running:
                self._rclpy.spin_once(self._node, timeout_sec=0.05)
            figures.images += 1
            figures.results += stamp_ns in self._results
            people |= self._results.get(stamp_ns, set())
        figures.seconds += len(self._pictures) * self._step_ns * 1e-9
        figures.crashed = not self.running
        if not figures.crashed:
            figures.memory_mb.append(psutil.Process(self._process.pid).memory_info().rss / 1e6)
        figures.reused += sorted(people & {name for earlier in figures.ids for name in earlier})
        figures.ids.append(sorted(people))
        figures.skeletons.append(self._skeletons)
        figures.markers.append(self._markers)

    def close(self) -> None:
        """End the process."""
        if self.running:
            self._process.send_signal(2)
        self._process.wait(30)
        self._node.destroy_node()
        self._rclpy.shutdown()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _show(self, stamp_ns: int, picture) -> None:
        from rosgraph_msgs.msg import Clock
        from std_msgs.msg import Header

        from mambapose_ros.nodes.conversions import ns_to_stamp, rgb_to_image

        stamp = ns_to_stamp(stamp_ns)
        self._clock.publish(Clock(clock=stamp))
        self._images.publish(rgb_to_image(picture, Header(stamp=stamp, frame_id="optical")))

    def _on_result(self, message) -> None:
        from mambapose_ros.nodes.conversions import stamp_to_ns

        self._results[stamp_to_ns(message.header.stamp)] = {person.id for person in message.people}

    def _on_skeletons(self, message) -> None:
        self._skeletons += bool(message.skeletons)

    def _on_markers(self, message) -> None:
        self._markers += any(marker.action == marker.ADD for marker in message.markers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="of simulated time")
    parser.add_argument("--loop", type=float, default=20.0, help="seconds that the recording lasts")
    parser.add_argument("--fps", type=float, default=10.0, help="of the recording")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--weights", default="auto", help="as the parameter; empty = no lifter")
    parser.add_argument("--window", type=int, default=27, help="as the parameter")
    parser.add_argument("--most-growth", type=float, default=0.05, help="of memory, after the first tenth of the loops")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()

    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    stay_on_this_machine(os.environ)
    figures, player = Figures(), Player(arguments)
    start = time.monotonic()
    try:
        player.connect()
        while figures.seconds < arguments.seconds and not figures.crashed:
            player.play(figures)
            print(
                f"{figures.seconds:6.0f} s: {figures.memory_mb[-1:]} MB, ids {figures.ids[-1]}, "
                f"{figures.skeletons[-1]} skeletons",
                flush=True,
            )
    finally:
        player.close()
    print(f"{figures.seconds:.0f} s of simulated time in {time.monotonic() - start:.0f} s, {len(figures.ids)} loops")
    print(f"{figures.results} results of {figures.images} images, {'crashed' if figures.crashed else 'no crash'}")
    print(f"{sum(figures.skeletons)} skeletons, {sum(figures.markers)} markers")
    print(f"{sum(map(len, figures.ids))} ids, {len(figures.reused)} of them used again")
    print(f"memory {100.0 * figures.growth:+.1f} % after the first tenth of the loops")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(asdict(figures), indent=2))
    return 0 if figures.passed(bool(arguments.weights), arguments.most_growth) else 1


if __name__ == "__main__":
    sys.exit(main())
