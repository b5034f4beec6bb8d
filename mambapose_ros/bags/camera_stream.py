"""One camera's way through a bag: its images in, results out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mambapose_ros.bags.cameras import CameraTopics
from mambapose_ros.bags.images import image_to_rgb
from mambapose_ros.bags.intrinsics import Intrinsics
from mambapose_ros.bags.message_types import MARKER_ARRAY, PERSON_KEYPOINTS_ARRAY, SKELETON_ARRAY, MessageTypes
from mambapose_ros.bags.reader import Recorded
from mambapose_ros.bags.writer import BagWriter
from mambapose_ros.image_encoding import ImageError
from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.messages import keypoints_message, skeletons_message, stamp_to_ns
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.continuity import discontinuity, loses_people
from mambapose_ros.types import Frame, LiftedFrame


@dataclass
class Tally:
    """What happened, how often, and what was said of it the first time."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, cause: str, example: str = "") -> None:
        """Count one."""
        self.counts[cause] = self.counts.get(cause, 0) + 1
        self.examples.setdefault(cause, example)


class CameraStream:
    """Turns the images of one camera, in the order of recording, into results.

    Results have the stamp and the frame of the image that they are about, and its recording time.

    Args:
        topics: the camera.
        intrinsics: what it said of itself.
        pipeline: of its own, made with ``options``.
        types: to read and write messages with.

    Attributes:
        frames: images that were processed.
    """

    def __init__(
        self,
        topics: CameraTopics,
        intrinsics: Intrinsics,
        pipeline: Pipeline,
        options: PipelineOptions,
        types: MessageTypes,
    ) -> None:
        self.frames = 0
        self._topics, self._intrinsics, self._pipeline, self._types = topics, intrinsics, pipeline, types
        self._lifts = bool(options.weights)
        self._markers = SkeletonMarkers(types)
        self._last: Frame | None = None
        self._frames_with_people = 0
        self._dropped, self._restarts, self._assumed = Tally(), Tally(), Tally()
        # Stamp -> recording time of the images whose skeletons may still come: looking ahead, they come late.
        self._recent: deque[tuple[int, int]] = deque(maxlen=options.lookahead + 1)

    def announce(self, results: BagWriter) -> None:
        """Declare the topics of the results."""
        results.add_topic(self._topic("keypoints"), PERSON_KEYPOINTS_ARRAY)
        if self._lifts:
            results.add_topic(self._topic("skeletons"), SKELETON_ARRAY)
            results.add_topic(self._topic("markers"), MARKER_ARRAY)

    def process(self, recorded: Recorded, results: BagWriter) -> None:
        """Find the people in one image and write them; what is no image is dropped and counted."""
        try:
            frame = self._frame(recorded)
        except ImageError as error:
            self._dropped.add(error.cause, str(error))
            return
        if discontinuity(self._last, frame):
            self._write_owed(results)  # the pipeline is about to forget it
        self._last = frame
        result = self._pipeline(frame)
        if result.reset_reason:
            self._restarts.add(result.reset_reason, f"stamp {frame.stamp_ns}")
        self.frames += 1
        self._frames_with_people += any(person.state != "lost" for person in result.keypoints)
        results.write(
            self._topic("keypoints"), recorded.log_time_ns, keypoints_message(self._types, frame, result.keypoints)
        )
        self._recent.append((frame.stamp_ns, recorded.log_time_ns))
        if result.lifted is not None:
            self._write_skeletons(result.lifted, results)

    def finish(self, results: BagWriter) -> None:
        """Write what a lifter that looks ahead still owes, and give back the models."""
        self._write_owed(results)
        self._pipeline.close()

    def report(self) -> list[str]:
        """What was done and what went wrong, one line per cause."""
        name = self._topics.image
        lines = [f"{name}: {self.frames} frames, people in {self._frames_with_people} of them"]
        for cause, count in self._dropped.counts.items():
            lines.append(f"{name}: {count} messages dropped: {self._dropped.examples[cause]}")
        for cause, count in self._restarts.counts.items():
            example = self._restarts.examples[cause]
            new_ids = ", people got new ids" if loses_people(cause) else ""
            lines.append(f"{name}: {cause} ({count} times, first at {example}): started anew{new_ids}")
        for cause, count in self._assumed.counts.items():
            lines.append(f"{name}: {cause}; a field of view was assumed for {count} frames")
        return lines

    def _topic(self, name: str) -> str:
        return f"{self._topics.namespace}/{name}"

    def _frame(self, recorded: Recorded) -> Frame:
        message = self._types.read(recorded.data, self._topics.image_type)
        image = image_to_rgb(message)
        stamp_ns = stamp_to_ns(message.header.stamp)
        camera, problem = self._intrinsics.at(stamp_ns, image.shape[1], image.shape[0])
        if problem:
            self._assumed.add(problem)
        return Frame(stamp_ns, message.header.frame_id, image, camera)

    def _write_owed(self, results: BagWriter) -> None:
        for lifted in self._pipeline.flush():
            self._write_skeletons(lifted, results)

    def _write_skeletons(self, lifted: LiftedFrame, results: BagWriter) -> None:
        # The newest of that stamp: where stamps repeat, what came of the older one is written already.
        log_time_ns = next((log_time for stamp, log_time in reversed(self._recent) if stamp == lifted.stamp_ns), None)
        if log_time_ns is None:
            return  # of the image at which an interrupt came, whose keypoints were not written either
        message = skeletons_message(self._types, lifted, lifted.skeletons, lifted.keypoints)
        results.write(self._topic("skeletons"), log_time_ns, message)
        results.write(self._topic("markers"), log_time_ns, self._markers(message))
