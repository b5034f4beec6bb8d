"""Real nodes in processes of their own, over real DDS, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

TIMEOUT_S = 40.0
"""Longest wait for a condition: a cold start on a busy machine reads libraries for many seconds."""


class NodeProcess:
    """An installed executable, run as ``ros2 run`` would; used as a context manager, which ends it.

    Args:
        executable: name under lib/mambapose_ros.
        parameters: as on the command line.
        namespace: to run in.
    """

    def __init__(self, executable: str, namespace: str = "/", **parameters: Any) -> None:
        path = Path(get_package_prefix("mambapose_ros")) / "lib" / "mambapose_ros" / executable
        pairs = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_as_yaml(value)}")]
        self._output = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen(
            [str(path), "--ros-args", "-r", f"__ns:={namespace}", *pairs],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._output.close()

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(15.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"did not end on SIGINT:\n{self.output()}") from None

    def wait(self) -> int:
        """Wait until it ends by itself; returns its exit status."""
        return self._process.wait(TIMEOUT_S)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def output(self) -> str:
        """Everything it printed so far."""
        self._output.seek(0)
        return self._output.read()


def waited_for_cpu(*pids: int) -> float:
    """Seconds that threads of these processes were ready to run while others had the cores; 0 where nobody tells.

    How long something took, less this, does not depend on what else the machine does.
    """
    paths = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return 1e-9 * sum(int(path.read_text().split()[1]) for path in paths)


class Stopwatch:
    """Seconds since it was made that this process and those of nodes did not spend waiting for a core."""

    def __init__(self, *nodes: NodeProcess) -> None:
        self._pids = os.getpid(), *(node.pid for node in nodes)
        self._start = self._now()

    def _now(self) -> float:
        return time.monotonic() - waited_for_cpu(*self._pids)

    def read(self) -> float:
        """The seconds."""
        return self._now() - self._start


class Listener:
    """A node of the test's own that keeps what it hears."""

    def __init__(self, name: str) -> None:
        self.node: Node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()

    def hear(self, message_type: type, topic: str, qos: Any = 10) -> list:
        """Subscribe; returns the list that messages are appended to."""
        heard: list = []
        self.node.create_subscription(message_type, topic, heard.append, qos)
        return heard

    def ask(self, service_type: type, name: str, request: Any) -> Any:
        """The answer of a service to a request that may be made twice: a server that has not found the asker's reader
        yet answers nobody."""
        client = self.node.create_client(service_type, name)
        self.spin_until(client.service_is_ready, f"service {name}")
        asked: list[Any] = []
        due = 0.0

        def answer() -> Any:
            nonlocal due
            if time.monotonic() >= due:
                asked.append(client.call_async(request))
                due = time.monotonic() + 5.0
            return next((future.result() for future in asked if future.done()), None)

        return self.spin_until(answer, f"an answer of {name}")

    def spin_until(self, condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
        """Handle messages until the condition is true; returns its value, or fails with ``what`` did not happen."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
            self._executor.spin_once(timeout_sec=0.05)
        return value


def _as_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, (str, Path)) else str(value)
