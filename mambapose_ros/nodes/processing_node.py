"""What nodes have in common that work long on a message: a worker, and a mailbox where the newest wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from std_srvs.srv import SetBool, Trigger

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes.mailbox import Mailbox
from mambapose_ros.nodes.managed_node import MANAGED_PARAMETERS, ManagedNode
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.spin import StuckError

PATIENCE_S = 10.0
"""How long the worker may take for its last item, at the end of the work."""

PROCESSING_PARAMETERS = (
    *MANAGED_PARAMETERS,
    ParameterSpec("timeout", 1.0, "seconds without input until diagnostics warn", range=(0.1, 60.0), changeable=True),
    ParameterSpec("max_age", 1.0, "seconds; diagnostics warn of older results", range=(0.01, 3600.0), changeable=True),
)


class ProcessingNode(ManagedNode):
    """A managed node that takes messages in, works on them in a thread of its own, and publishes what comes of it.

    What is submitted goes through a mailbox: while something is processed, only the newest of each sender waits; the
    rest is dropped and counted. Nothing is processed while nobody subscribes to any output, or after
    ``~/set_enabled`` with false. A subclass overrides the methods of the section "for subclasses", here and in
    ``ManagedNode``.

    Args:
        name: of the node.
        specs: its parameters, ``PROCESSING_PARAMETERS`` among them.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.
    """

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], **node_arguments: Any) -> None:
        super().__init__(name, specs, **node_arguments)
        self._enabled = True
        self._mailbox: Mailbox[Any] | None = None
        self._worker: threading.Thread | None = None
        self._busy_since: float | None = None
        self._changes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.create_service(Trigger, "~/reset", self._on_reset, callback_group=self.traffic)
        self.create_service(SetBool, "~/set_enabled", self._on_set_enabled, callback_group=self.traffic)

    # --- for subclasses -------------------------------------------------------------------------------------------

    def process(self, items: tuple) -> None:
        """Work on what waited, the newest of each sender, oldest first; called in the worker thread.

        Publishes the results, and calls ``record_result`` for each or ``fail``.
        """
        raise NotImplementedError

    def forget(self) -> None:
        """Forget earlier input: what comes next does not follow it. Called between two calls of ``process``."""

    # --- to be called by subclasses -------------------------------------------------------------------------------

    def submit(self, item: Any, sender: str = "") -> None:
        """Hand something to the worker; it may be replaced by a newer item of the same sender."""
        self.statistics.record_received()
        mailbox = self._mailbox
        if reason := self.resting():
            self.statistics.record_dropped(reason)
        elif mailbox is not None and mailbox.put(item, sender):
            self.statistics.record_dropped(f"newer {self.expects} came first")

    def between_items(self, change: Callable[[], None]) -> None:
        """Have something done in the worker's thread before the next call of ``process``."""
        self._changes.put(change)

    # --- states ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker and open the subscriptions."""
        self._mailbox = Mailbox()
        self._worker = threading.Thread(target=self._work, args=(self._mailbox,), name="worker", daemon=True)
        self._worker.start()
        self.open_inputs()

    def stop(self) -> None:
        """Close the subscriptions and end the worker.

        Raises:
            StuckError: when it does not end; what it holds cannot be given back.
        """
        self.close_inputs()
        if self._mailbox is not None and self._worker is not None:
            self._mailbox.close()
            self._worker.join(PATIENCE_S)
            if self._worker.is_alive():
                raise StuckError(f"still working on one {self.expects} after {PATIENCE_S:.0f} s; end the process")
            self._mailbox = self._worker = None

    def _unload(self) -> None:
        try:
            self._make_changes()  # what was prepared for them is given back with the rest
        finally:
            super()._unload()

    # --- work -----------------------------------------------------------------------------------------------------

    def _work(self, mailbox: Mailbox[Any]) -> None:
        while (items := mailbox.take()) is not None:
            self._busy_since = time.monotonic()
            try:
                self._make_changes()
                self.process(items)
            except ImageError as error:
                self.fail(error.cause, str(error))
            except Exception as error:  # one bad message must not end the node
                if not self.context.ok():
                    return  # the process is ending
                self.fail(f"{type(error).__name__} while processing", repr(error))
            finally:
                self._busy_since = None

    def busy_s(self) -> float:
        """Seconds that the worker has spent so far on what it is working on."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def _make_changes(self) -> None:
        while not self._changes.empty():
            self._changes.get()()

    def resting(self) -> str:
        """Why there is nothing to do; empty when there is."""
        return super().resting() if self._enabled else "disabled (~/set_enabled)"

    # --- requests -------------------------------------------------------------------------------------------------

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._state in ("inactive", "active")
        if response.success:
            self.between_items(self.forget)
            response.message = f"the next {self.expects} starts anew"
        else:
            response.message = f"nothing to reset: the node is {self._state}"
        return response

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "enabled" if request.data else f"disabled: every {self.expects} is dropped until enabled"
        self.get_logger().info(response.message)
        return response
