"""Memory of pose_node over rounds of configure, activate, work, deactivate, cleanup.

    python benchmarks/lifecycle.py --rounds 20 --json lifecycle.json

Levels are resident MB when active and after cleanup; the baseline is the first round of the same run. Exit status 1:
the last round's are more than 5 % above it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from ament_index_python.packages import get_package_prefix

from mambapose_ros.nodes.localhost import stay_on_this_machine

NAMESPACE = "/lifecycle"
WAIT_S = 180.0
MOST_GROWTH = 0.05


class Rounds:
    """A pose_node process that is led through its states, and a camera that shows it a synthetic person."""

    def __init__(self, weights: str, window: int) -> None:
        import rclpy
        from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
        from sensor_msgs.msg import Image
        from visualization_msgs.msg import MarkerArray

        from mambapose_ros.nodes import qos
        from mambapose_ros.synthetic import SyntheticScene

        executable = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros" / "pose_node"
        given = {"autostart": "false", "weights": weights or "''", "window": window}
        pairs = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [str(executable), "--ros-args", "-r", f"__ns:={NAMESPACE}", *pairs]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rclpy.init()
        self._rclpy, self._node = rclpy, rclpy.create_node("rounds")
        self._images = self._node.create_publisher(Image, f"{NAMESPACE}/image", qos.IMAGE_OUTPUT)
        # Whoever is not listened to does not lift.
        outputs = {
            "keypoints": PersonKeypointsArray,
            **({"skeletons": SkeletonArray, "markers": MarkerArray} if weights else {}),
        }
        self._heard: dict[str, list] = {name: [] for name in outputs}
        for name, kind in outputs.items():
            self._node.create_subscription(kind, f"{NAMESPACE}/{name}", self._heard[name].append, 10)
        self._picture = SyntheticScene(motion="idle", people=1, seed=0, width=640, height=480, fps=30.0).render(0).image

    def round(self, results: int) -> dict[str, float]:
        """One round with so many results; MB when active and after cleanup."""
        from lifecycle_msgs.msg import Transition

        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            self._change_state(transition)
        for heard in self._heard.values():
            heard.clear()
        self._show_until(lambda: all(len(heard) >= results for heard in self._heard.values()))
        active = self._resident_mb()
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            self._change_state(transition)
        return {"active_mb": active, "cleaned_up_mb": self._resident_mb()}

    def close(self) -> None:
        """End the process."""
        self._process.send_signal(2)
        self._process.wait(30)
        self._node.destroy_node()
        self._rclpy.shutdown()

    def _resident_mb(self) -> float:
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def _change_state(self, transition: int) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self._node.create_client(ChangeState, f"{NAMESPACE}/pose_node/change_state")
        if not client.wait_for_service(WAIT_S):
            raise SystemExit("pose_node did not start")
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self._rclpy.spin_until_future_complete(self._node, future, timeout_sec=WAIT_S)
        self._node.destroy_client(client)
        if future.result() is None or not future.result().success:
            raise SystemExit(f"transition {transition} failed: see what pose_node prints")

    def _show_until(self, condition) -> None:
        from std_msgs.msg import Header

        from mambapose_ros.nodes.conversions import ns_to_stamp, rgb_to_image

        deadline, due = time.monotonic() + WAIT_S, 0.0
        while not condition():
            if time.monotonic() > due:
                stamp = ns_to_stamp(self._node.get_clock().now().nanoseconds)
                self._images.publish(rgb_to_image(self._picture, Header(stamp=stamp, frame_id="optical")))
                due = time.monotonic() + 1.0 / 30.0
            self._rclpy.spin_once(self._node, timeout_sec=0.01)
            if time.monotonic() > deadline:
                raise SystemExit(f"no results within {WAIT_S:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--results", type=int, default=30, help="of each round")
    parser.add_argument("--weights", default="auto", help="as the parameter; empty = no lifter")
    parser.add_argument("--window", type=int, default=27, help="as the parameter")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()

    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    stay_on_this_machine(os.environ)
    rounds = Rounds(arguments.weights, arguments.window)
    levels = []
    try:
        for index in range(arguments.rounds):
            levels.append(rounds.round(arguments.results))
            shown = ", ".join(f"{name} {value:.0f}" for name, value in levels[-1].items())
            print(f"round {index + 1:2}: {shown}", flush=True)
    finally:
        rounds.close()
    growth = {name: levels[-1][name] / first - 1.0 for name, first in levels[0].items()}
    for name, share in growth.items():
        print(f"{name}: last round {100.0 * share:+.1f} % against the first")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"rounds": levels}, indent=2))
    return int(max(growth.values()) > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
