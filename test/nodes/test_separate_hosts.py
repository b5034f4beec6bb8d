"""The graph over three hosts, one of which is cut off and comes back: network namespaces on one switch."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from tiny_lifter import WINDOW, save_tiny_lifter

HOSTS = ("camera", "flow", "lifter")
TIMEOUT_S = 120.0  # for one step; several processes, on a busy machine

# Prints what it hears on its host, a line each.
OBSERVER = """
import json, sys
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from mambapose_ros.msg import SkeletonArray
from rclpy.executors import ExternalShutdownException

def say(**what):
    print(json.dumps(what), flush=True)

def on_diagnostics(message):
    for status in message.status:
        if "lifter_node" in status.name:
            say(level=ord(status.level), message=status.message)

rclpy.init()
node = rclpy.create_node("observer")
node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
node.create_subscription(SkeletonArray, "/skeletons", lambda m: say(people=[s.id for s in m.skeletons]), 10)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


class Network:
    """Hosts on a switch. The switch is a namespace too, so that the machine's own network is not touched."""

    def __init__(self) -> None:
        self._prefix = f"mp{os.getpid()}"
        self._switch = f"{self._prefix}_switch"

    def build(self) -> str:
        """Why this machine cannot have one; empty when it has."""
        if shutil.which("ip") is None:
            return "expected the command ip (iproute2), found none"
        try:
            self._make(self._switch)
            self._ip(self._switch, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
            self._ip(self._switch, "link", "set", "switch", "up")
            for number, host in enumerate(HOSTS, 1):
                name = self._name(host)
                self._make(name)
                self._ip(self._switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", name)
                self._ip(self._switch, "link", "set", host, "master", "switch", "up")
                self._ip(name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    self._ip(name, "link", "set", device, "up")
                self._ip(name, "route", "add", "default", "dev", "eth0")
        except subprocess.CalledProcessError as error:
            return f"expected to be allowed to make network namespaces, but: {error.stderr.strip()}"
        return ""

    def remove(self) -> None:
        for name in (self._switch, *map(self._name, HOSTS)):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def cut_off(self, host: str) -> None:
        self._ip(self._switch, "link", "set", host, "down")

    def reconnect(self, host: str) -> None:
        self._ip(self._switch, "link", "set", host, "up")

    def command(self, host: str) -> list[str]:
        """What runs what follows on a host."""
        return ["ip", "netns", "exec", self._name(host)]

    def _name(self, host: str) -> str:
        return f"{self._prefix}_{host}"

    def _make(self, name: str) -> None:
        subprocess.run(["ip", "netns", "add", name], capture_output=True, check=True, text=True)

    def _ip(self, name: str, *words: str) -> None:
        subprocess.run(["ip", "-n", name, *words], capture_output=True, check=True, text=True)


class Process:
    """A command under way on a host, with what it prints; used as a context manager, which ends it."""

    def __init__(self, log: Path, command: list[str]) -> None:
        self.log = log
        # Shared memory would reach over hosts that are one machine.
        environment = {**os.environ, "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
        environment.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
        environment.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
        with open(log, "w", encoding="utf-8") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Observer:
    """What is heard on the lifter's host."""

    def __init__(self, process: Process) -> None:
        self._log = process.log
        self._read = 0

    def forget(self) -> None:
        """Only what comes from now on counts."""
        self._read = len(self._log.read_bytes())

    def wait(self, condition, what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition(self._heard()):
            assert time.monotonic() < deadline, f"not within {TIMEOUT_S:.0f} s: {what}; heard {self._heard()[-3:]}"
            time.sleep(0.1)

    def _heard(self) -> list[dict]:
        lines = self._log.read_bytes()[self._read :].decode().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def network():
    made = Network()
    problem = made.build()
    if problem:
        made.remove()
        pytest.skip(f"several hosts: {problem}")
    yield made
    made.remove()


def skeletons(heard: list[dict]) -> bool:
    return sum(bool(line.get("people")) for line in heard) >= 3


def joined(heard: list[dict]) -> bool:
    """The lifter has not missed flow for as long as a diagnostic tells."""
    newest = [line["message"] for line in heard if "message" in line][-1:]
    return skeletons(heard) and bool(newest) and "no " not in newest[0]


def told(part: str):
    return lambda heard: any(part in line.get("message", "") for line in heard)


def test_a_host_that_is_cut_off_is_missed_reported_and_joined_again(network, tmp_path):
    weights = save_tiny_lifter(tmp_path / "tiny.safetensors")
    folder = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros"
    nodes = [
        ("camera", "source_node", {"rate": 5.0, "width": 320, "height": 240}),
        ("camera", "keypoint_node", {}),
        ("flow", "flow_node", {}),
        ("lifter", "lifter_node", {"weights": weights, "window": WINDOW, "join_timeout": 0.3, "max_age": 60.0}),
    ]
    with ExitStack() as stack:

        def start(host: str, name: str, words: list[str]) -> Process:
            return stack.enter_context(Process(tmp_path / f"{name}.log", [*network.command(host), *words]))

        for host, name, parameters in nodes:
            given = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
            start(host, name, [str(folder / name), "--ros-args", *given])
        observer = Observer(start("lifter", "observer", [sys.executable, "-c", OBSERVER]))
        observer.wait(joined, "skeletons with flow")

        network.cut_off("flow")
        observer.forget()
        observer.wait(told("flow does not come in time: lifting without"), "the loss of flow is reported")
        observer.forget()
        observer.wait(skeletons, "skeletons without flow")
        network.reconnect("flow")
        observer.forget()
        observer.wait(joined, "flow is joined again")

        network.cut_off("camera")
        observer.forget()
        observer.wait(told("no keypoints for"), "the loss of the camera is reported")
        network.reconnect("camera")
        observer.forget()
        observer.wait(skeletons, "skeletons when the camera is back")
