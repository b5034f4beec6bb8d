"""The cameras of a bag: topics of images in which people may be seen, and of their intrinsics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mambapose_ros.bags.errors import BagError
from mambapose_ros.bags.message_types import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, MessageTypes
from mambapose_ros.bags.reader import BagReader
from mambapose_ros.image_encoding import ENCODINGS, ImageError


@dataclass(frozen=True)
class CameraTopics:
    """A camera of a bag.

    Attributes:
        image: topic of its images.
        image_type: ``IMAGE`` or ``COMPRESSED_IMAGE``.
        camera_info: topic of its intrinsics; empty = none was recorded.
    """

    image: str
    image_type: str
    camera_info: str = ""

    @property
    def namespace(self) -> str:
        """Where its results belong, without a slash at the end: "/camera" for /camera/image_raw/compressed."""
        return _raw_topic(self.image).rpartition("/")[0]


def find_cameras(bag: BagReader, types: MessageTypes, wanted: Sequence[str] = ()) -> list[CameraTopics]:
    """The cameras to look for people with.

    Args:
        bag: the recording.
        types: to read it with.
        wanted: image topics; none = one of every namespace that has colour or grey images: rather ``image_raw`` than
            others, rather raw than compressed, and never what this package draws (``annotated``).

    Raises:
        BagError: when there is none, a wanted topic has no such images, or two would share their results' topics.
    """
    if wanted:
        cameras = []
        for topic in dict.fromkeys(wanted):
            if problem := _unsuitable(bag, types, topic):
                suitable = [name for name in bag.image_topics if not _unsuitable(bag, types, name)]
                raise BagError(f"{topic}: {problem}; image topics of this bag: {', '.join(suitable) or 'none'}")
            cameras.append(_camera_topics(bag, topic))
        for camera in cameras:
            same = [other.image for other in cameras if other.namespace == camera.namespace]
            if len(same) > 1:
                raise BagError(
                    f"expected one image topic per camera, got {' and '.join(same)}, whose results would both be "
                    f"{camera.namespace}/keypoints; process them one after the other"
                )
        return cameras
    best: dict[str, CameraTopics] = {}
    for topic in sorted(bag.image_topics, key=_preference):
        drawn = _raw_topic(topic).rpartition("/")[2] == "annotated"
        if not drawn and not _unsuitable(bag, types, topic):
            camera = _camera_topics(bag, topic)
            best.setdefault(camera.namespace, camera)
    if not best:
        carried = ", ".join(f"{name} ({kind})" for name, kind in bag.topics.items()) or "nothing"
        why_not = "".join(f"; {name}: {_unsuitable(bag, types, name)}" for name in bag.image_topics)
        expected = f"expected a topic of colour or grey images ({IMAGE} or {COMPRESSED_IMAGE})"
        raise BagError(f"{expected}, got {carried}{why_not}")
    return sorted(best.values(), key=lambda camera: camera.image)


def _raw_topic(topic: str) -> str:
    return topic.removesuffix("/compressed")


def _preference(topic: str) -> tuple[bool, bool, bool, str]:
    name = _raw_topic(topic).rpartition("/")[2]
    return name != "image_raw", not name.startswith("image"), topic != _raw_topic(topic), topic


def _camera_topics(bag: BagReader, topic: str) -> CameraTopics:
    base = _raw_topic(topic)
    beside, below = f"{base.rpartition('/')[0]}/camera_info", f"{base}/camera_info"
    info = next((name for name in (beside, below) if bag.topics.get(name) == CAMERA_INFO), "")
    return CameraTopics(topic, bag.topics[topic], info)


def _unsuitable(bag: BagReader, types: MessageTypes, topic: str) -> str:
    """Why there are no people to be seen on a topic (depth, labels, no images at all); empty when there may be."""
    kind = bag.topics.get(topic)
    if kind is None:
        return "expected a topic of one type in the bag, got none of that name"
    if kind not in (IMAGE, COMPRESSED_IMAGE):
        return f"expected {IMAGE} or {COMPRESSED_IMAGE}, got {kind}"
    problem = "expected images, got none"
    for recorded in bag.messages([topic]):
        try:
            message = types.read(recorded.data, kind)
        except ImageError as error:
            problem = f"expected readable images, got only corrupt ones: {error}"
            continue
        if kind == IMAGE and message.encoding not in ENCODINGS:
            return f"expected one of the encodings {', '.join(ENCODINGS)}, got {message.encoding!r}"
        if kind == COMPRESSED_IMAGE and "compressedDepth" in message.format:
            return f"expected a JPEG or PNG picture, got depth ({message.format})"
        return ""
    return problem
