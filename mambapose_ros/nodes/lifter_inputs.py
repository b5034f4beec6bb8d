"""What other nodes made of one camera's images, put together for the lifter."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image, TimeReference

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.msg import PersonKeypointsArray
from mambapose_ros.nodes.conversions import depth_to_metres, stamp_to_ns
from mambapose_ros.nodes.dense_maps import depth_from_image, depth_topic, flow_from_image
from mambapose_ros.nodes.depth_input import depth_problem
from mambapose_ros.nodes.stamp_join import KEPT, Joined, StampJoin
from mambapose_ros.perception.flow import scaled_up
from mambapose_ros.perception.flow_chain import StampedFlow, chain_flow
from mambapose_ros.types import DepthMap


@dataclass(frozen=True)
class JoinedMessages:
    """All that came of one image.

    Attributes:
        camera: index of the camera.
        keypoints: of the people in it.
        flows: the newest, of which some may lead to this image.
        depth: of it; None = none came.
    """

    camera: int
    keypoints: PersonKeypointsArray
    flows: tuple[StampedFlow, ...]
    depth: Image | None

    @property
    def stamp_ns(self) -> int:
        """Of the image."""
        return stamp_to_ns(self.keypoints.header.stamp)

    def flow_since(self, since_ns: int | None) -> np.ndarray | None:
        """(H, W, 2) float32 pixels of the image since an earlier one; None when that is not known."""
        flow = None if since_ns is None else chain_flow(self.flows, since_ns, self.stamp_ns)
        return None if flow is None else scaled_up(flow, self.keypoints.image_width, self.keypoints.image_height)

    def depth_map(self, estimator: str) -> DepthMap | None:
        """At the size of the image; None when none came.

        Args:
            estimator: what made it, a key of ``perception.depth.DEPTHS``.

        Raises:
            ImageError: when it is no depth, or a depth camera's that is not registered to the image.
        """
        if self.depth is None:
            return None
        width, height = self.keypoints.image_width, self.keypoints.image_height
        if estimator == "sensor":
            values = depth_to_metres(self.depth)
            if problem := depth_problem(values, self.depth.encoding, width, height):
                raise ImageError("unusable depth", problem)
        else:
            values = _enlarged(depth_from_image(self.depth), width, height)
        return DepthMap(values, depth_topic(estimator) == "depth", estimator)


class LifterInputs:
    """Joins one camera's messages; all methods are called in one thread.

    Args:
        partners: of the keypoints: "flow", "depth", both or none.
        timeout_s: seconds that keypoints wait for them.
        hand_over: takes what belongs together, in order.
        index: of the camera.
        clock: steady seconds.
    """

    def __init__(
        self,
        partners: tuple[str, ...],
        timeout_s: float,
        hand_over: Callable[[JoinedMessages], None],
        index: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.join = StampJoin(partners, timeout_s)
        self._hand_over, self._index, self._clock = hand_over, index, clock
        self._flows: deque[StampedFlow] = deque(maxlen=KEPT)
        self._halves: OrderedDict[int, Image | TimeReference] = OrderedDict()

    def put_keypoints(self, message: PersonKeypointsArray) -> None:
        """What everything else is joined to."""
        self.join.put(self._clock(), stamp_to_ns(message.header.stamp), message)
        self.poll()

    def put_depth(self, message: Image) -> None:
        """Depth of an image."""
        self.join.put_partner(self._clock(), "depth", stamp_to_ns(message.header.stamp), message)
        self.poll()

    def put_flow(self, message: Image | TimeReference) -> None:
        """Flow of an image, or since when it is; the two come in any order.

        Raises:
            ImageError: when it is no flow.
        """
        stamp_ns = stamp_to_ns(message.header.stamp)
        other = self._halves.pop(stamp_ns, None)
        if other is None or type(other) is type(message):
            self._halves[stamp_ns] = message
            if len(self._halves) > KEPT:
                self._halves.popitem(last=False)
            return
        image, since = (message, other) if isinstance(message, Image) else (other, message)
        values = flow_from_image(image)
        if values is not None:
            self._flows.append(StampedFlow(stamp_ns, stamp_to_ns(since.time_ref), values))
        self.join.put_partner(self._clock(), "flow", stamp_ns, True)
        self.poll()

    def poll(self) -> None:
        """Hand over what is ready; to be called now and then, for what others never bring."""
        while (joined := self.join.take(self._clock())) is not None:
            self._hand_over(self._messages(joined))

    def _messages(self, joined: Joined) -> JoinedMessages:
        flows = tuple(self._flows) if "flow" in joined.partners else ()
        return JoinedMessages(self._index, joined.primary, flows, joined.partners.get("depth"))


def _enlarged(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Depth (H, W) on another grid of the same image, without values between those of two surfaces."""
    import cv2

    if values.shape == (height, width):
        return values
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
