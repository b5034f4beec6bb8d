"""Depth in metres as an image message, made from the pipeline's results."""

from __future__ import annotations

from collections import deque

from sensor_msgs.msg import Image

from mambapose_ros.nodes.conversions import frame_header
from mambapose_ros.nodes.dense_maps import depth_to_image
from mambapose_ros.perception.depth_alignment import DepthAligner
from mambapose_ros.types import FrameResult


class AlignedDepth:
    """Aligns the depth of images to the people in them (``perception.depth_alignment``), result by result.

    Args:
        lookahead: frames that skeletons lie back: the depth of so many images is kept for theirs to come.
    """

    def __init__(self, lookahead: int) -> None:
        self._aligner = DepthAligner()
        self._waiting: deque[FrameResult] = deque(maxlen=lookahead + 1)

    def __call__(self, result: FrameResult) -> Image | None:
        """Depth of the newest image whose people are known: 32FC1, metres, NaN = unknown (REP-118), with the image's
        stamp; None while there is no depth, or too little was seen of people to tell metres from it."""
        if result.reset_reason:
            self.reset()
        if result.depth is None:
            return None
        if result.depth.metric:
            about, skeletons = result, ()
        else:
            self._waiting.append(result)
            if result.lifted is None:
                return None
            matching = (r for r in self._waiting if r.frame.stamp_ns == result.lifted.stamp_ns)
            about, skeletons = next(matching, None), result.lifted.skeletons
            if about is None:
                return None
        metres = self._aligner(about.depth, skeletons, about.frame.camera)
        return None if metres is None else depth_to_image(metres, frame_header(about.frame))

    def reset(self) -> None:
        """Forget earlier results: what comes next does not follow them."""
        self._aligner.reset()
        self._waiting.clear()
