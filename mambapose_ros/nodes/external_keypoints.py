"""Keypoints of somebody else's node, joined with the images of the same stamp."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image

from mambapose_ros.geometry import Camera
from mambapose_ros.msg import PersonKeypointsArray
from mambapose_ros.nodes.conversions import keypoints_from_msg, stamp_to_ns
from mambapose_ros.nodes.stamp_join import KEPT, StampJoin
from mambapose_ros.types import PersonKeypoints

_TIMEOUT_S = 0.1  # that keypoints wait for their image: it was there before them, unless its way here is slower


@dataclass(frozen=True)
class FoundKeypoints:
    """Who somebody found in an image.

    Attributes:
        message: of the people.
        image: that they were found in; None when it is not known.
        problem: why it is not.
    """

    message: PersonKeypointsArray
    image: Image | CompressedImage | None
    problem: str = ""

    def people(self, camera: Camera) -> tuple[PersonKeypoints, ...]:
        """The people in the pixels of the image of this camera.

        Raises:
            ValueError: when the keypoints are of other joints, or in an image of another size.
        """
        size = (self.message.image_width, self.message.image_height)
        if size != (camera.width, camera.height):
            raise ValueError(
                f"expected keypoints in an image of {camera.width}x{camera.height}, the camera's, got "
                f"{size[0]}x{size[1]}: give image_width and image_height, and pixels, of the image that was published"
            )
        return keypoints_from_msg(self.message)


class ExternalKeypointsInput:
    """Keeps the newest images until the keypoints found in them come; all methods are called in one thread.

    So results come at the rate of whoever finds keypoints, however long that takes up to ``KEPT`` images, and nothing
    is waited for meanwhile. Keypoints that come before their image wait for it.

    Args:
        hand_over: takes keypoints with their image, in order, and those whose image did not come.
        clock: steady seconds.
    """

    def __init__(
        self, hand_over: Callable[[FoundKeypoints], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._join = StampJoin(["image"], _TIMEOUT_S)
        self._hand_over, self._clock = hand_over, clock
        self._newest_image_ns: int | None = None

    def put_image(self, message: Image | CompressedImage) -> None:
        """An image came."""
        self._newest_image_ns = stamp_to_ns(message.header.stamp)
        self._join.put_partner(self._clock(), "image", self._newest_image_ns, message)
        self._give()

    def put_keypoints(self, message: PersonKeypointsArray) -> None:
        """Keypoints came."""
        self._join.put(self._clock(), stamp_to_ns(message.header.stamp), message)
        self._give()

    def _give(self) -> None:
        while (joined := self._join.take(self._clock())) is not None:
            image = joined.partners.get("image")
            problem = "" if image is not None else self._why_none(joined.stamp_ns)
            self._hand_over(FoundKeypoints(joined.primary, image, problem))

    def _why_none(self, stamp_ns: int) -> str:
        if self._newest_image_ns is None:
            return "no image came yet: is the camera running, and its topic remapped to this node's?"
        later = (self._newest_image_ns - stamp_ns) * 1e-6
        return (
            f"no image with the stamp of the keypoints, the newest is {later:+.1f} ms from it: expected the stamp of "
            f"the image that they were found in, which is one of the last {KEPT}"
        )
