"""Rate and age of pose_node's results over DDS, against the transport alone.

source_node (synthetic person) and pose_node run as processes. The baseline, in the same run, is how old the bare images
are when they arrive in a third process. Age is from an image's stamp to the arrival of what is said about it.

    python benchmarks/pose_node.py --json pose_node.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from ament_index_python.packages import get_package_prefix

from mambapose_ros.nodes.localhost import stay_on_this_machine

NAMESPACE = "/benchmark"


def start(node: str, **parameters: object) -> subprocess.Popen:
    pairs = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    executable = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros" / node
    command = [str(executable), "--ros-args", "-r", f"__ns:={NAMESPACE}", *pairs]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen) -> None:
    process.send_signal(2)
    process.wait(20)


def measure(node, message_type, topic: str, qos, seconds: float, settle: float) -> dict[str, float]:
    """Rate (Hz) and ages (ms) of what arrives on a topic, after ``settle`` seconds."""
    import rclpy

    arrivals: list[tuple[float, float]] = []

    def on_message(message) -> None:
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        arrivals.append((time.monotonic(), (node.get_clock().now().nanoseconds - stamp_ns) * 1e-6))

    subscription = node.create_subscription(message_type, topic, on_message, qos)
    deadline = time.monotonic() + 60.0
    while not arrivals:
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing arrived on {topic} within 60 s")
    start_of_count = arrivals[0][0] + settle
    while time.monotonic() < start_of_count + seconds:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_subscription(subscription)
    ages = np.array([age for moment, age in arrivals if moment >= start_of_count])
    p50, p95 = np.percentile(ages, (50, 95))
    return {"rate_hz": len(ages) / seconds, "age_p50_ms": float(p50), "age_p95_ms": float(p95)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--flow", default="dis")
    parser.add_argument("--weights", default="", help="of the lifter; empty = keypoints only")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()

    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    stay_on_this_machine(os.environ)
    import rclpy
    from mambapose_ros.msg import PersonKeypointsArray
    from rich.console import Console
    from rich.table import Table
    from sensor_msgs.msg import Image

    from mambapose_ros.nodes import qos

    rclpy.init()
    node = rclpy.create_node("benchmark")
    rows: dict[str, list[dict[str, float]]] = {"image (baseline)": [], "keypoints": []}
    source = start("source_node", source="synthetic:walk", width=arguments.width, height=arguments.height)
    try:
        for _ in range(arguments.runs):
            image = measure(node, Image, f"{NAMESPACE}/image", qos.IMAGE_INPUT, arguments.seconds, settle=1.0)
            rows["image (baseline)"].append(image)
            pose = start("pose_node", flow=arguments.flow, weights=arguments.weights or "''")
            try:
                topic = f"{NAMESPACE}/keypoints"
                found = measure(node, PersonKeypointsArray, topic, qos.RESULT_OUTPUT, arguments.seconds, settle=2.0)
                rows["keypoints"].append(found)
            finally:
                stop(pose)
    finally:
        stop(source)
        node.destroy_node()
        rclpy.shutdown()

    table = Table("topic", "rate Hz", "age p50 ms", "age p95 ms", "p50 / baseline", "spread of p50")
    baseline = statistics.median(row["age_p50_ms"] for row in rows["image (baseline)"])
    for topic, results in rows.items():
        medians = {name: statistics.median(row[name] for row in results) for name in results[0]}
        ages = [row["age_p50_ms"] for row in results]
        table.add_row(
            topic,
            f"{medians['rate_hz']:.1f}",
            f"{medians['age_p50_ms']:.1f}",
            f"{medians['age_p95_ms']:.1f}",
            f"{medians['age_p50_ms'] / baseline:.1f}x",
            f"{min(ages):.1f}-{max(ages):.1f}",
        )
    Console().print(table)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(arguments), "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
