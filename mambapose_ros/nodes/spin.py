"""Running a node as a process."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.timer import Timer

from mambapose_ros.errors import UserError


class StuckError(Exception):
    """What a node works on does not end."""


class ClosableNode(Protocol):
    """A node with something of its own to end: threads, devices, models.

    Attributes:
        failed: whether it has given up, having logged why.
    """

    failed: bool

    def close(self) -> None:
        """End it; called once, before the node is destroyed.

        Raises:
            StuckError: when it does not end; then the process ends at once.
        """


class _Threads(MultiThreadedExecutor):
    """Skips messages of subscriptions that another thread has destroyed meanwhile, as later executors do; Humble's ends
    the process (ros2/rclpy#1150)."""

    def _take_subscription(self, sub: Any) -> Any:
        try:
            return super()._take_subscription(sub)
        except InvalidHandle:
            return None


def spin_node(factory: Callable[[], ClosableNode], threads: int = 1) -> int:
    """Make the node, start it if it is a managed one with ``autostart``, spin until told to stop, and close it.

    Args:
        factory: makes it.
        threads: of its callbacks; messages that come while a parameter changes, which may load a network, want two.

    Returns:
        The exit status: 1 when the node cannot start, with the reason in one line, or has given up.
    """
    status = _spin(factory, threads)
    gc.collect()
    # The process ends: without this, Python would look for garbage in all that torch has made once more.
    gc.freeze()
    return status


def _spin(factory: Callable[[], ClosableNode], threads: int) -> int:
    spinning = threading.Event()
    # rclpy's handler, which calls this one, ends the loop. An exception could come anywhere in it, also where the
    # executor starts a thread, which then would not be known, and not be told to end.
    signal.signal(signal.SIGINT, lambda *what: None if spinning.is_set() else signal.default_int_handler(*what))
    try:
        rclpy.init(args=sys.argv)
    except RuntimeError as error:  # of what rcl makes of the command line
        print(f"{factory.__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    node = executor = None
    failed = False  # told to stop while it was made, it has not
    try:
        node = factory()
        if isinstance(node, LifecycleNode) and node.parameters["autostart"]:
            _autostart(node)
        executor = SingleThreadedExecutor() if threads == 1 else _Threads(threads)
        executor.add_node(node)
        spinning.set()
        # Not one long wait: a signal can come between the executor's last look and its sleep, and then wakes nobody.
        while rclpy.ok() and not node.failed:
            executor.spin_once(timeout_sec=0.5)
    except UserError as error:
        print(f"{factory.__name__}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise
        # Told to stop while a callback used what is shut down now.
    finally:
        if node is not None:
            _close(node)
            if executor is not None:
                executor.shutdown()
            failed = node.failed
            node.destroy_node()
            # rclpy leaves services of the life cycle to those who still refer to the node, as a traceback does that
            # mediapipe keeps. With the last of them the middleware ends and takes its shared memory with it, of which
            # otherwise each run left up to 70 MB behind (config/fastdds_localhost.xml).
            vars(node).clear()
        rclpy.try_shutdown()
    return int(failed)


def _close(node: ClosableNode) -> None:
    try:
        node.close()
    except StuckError as error:
        print(f"{type(node).__name__}: {error}: ended by force", file=sys.stderr, flush=True)
        os._exit(1)  # anything else would wait for the threads that are stuck


def steady_timer(
    node: Node, period_s: float, callback: Callable[[], None], callback_group: CallbackGroup | None = None
) -> Timer:
    """A timer of real seconds, also while simulated time stands still."""
    return node.create_timer(period_s, callback, callback_group, clock=Clock(clock_type=ClockType.STEADY_TIME))


def _autostart(node: LifecycleNode) -> None:
    # A node that cannot configure has logged why, and stays to be configured again (ros2 lifecycle set).
    if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()
