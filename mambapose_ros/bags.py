"""Recordings of ROS 2 (rosbag2), read and written without ROS, and the messages in them.

Storages are sqlite3 and mcap. This package's messages are defined by its .msg files, those of ROS by the definitions of
Humble that rosbags brings; they have not changed since.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import yaml
from rosbags.interfaces import Nodetype, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer, WriterError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.image_encoding import ENCODINGS, ImageError, decode_compressed, decode_image
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.skeleton import JOINT_NAMES, PARENTS
from mambapose_ros.types import TRACKING_STATES, Frame, LiftedFrame, PersonKeypoints, Skeleton3D

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
PERSON_KEYPOINTS_ARRAY = "mambapose_ros/msg/PersonKeypointsArray"
SKELETON_ARRAY = "mambapose_ros/msg/SkeletonArray"
MARKER_ARRAY = "visualization_msgs/msg/MarkerArray"

METADATA_VERSION: Literal[8] = 8
"""The newest that rosbag2 of Humble reads: from version 9 on it stops at the QoS profiles (ros2/rosbag2#2013)."""

_FOREVER = QosTime(9223372036, 854775807)  # how rosbag2 writes that there is no deadline

RELIABLE_5 = Qos(
    history=QosHistory.KEEP_LAST,
    depth=5,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.VOLATILE,
    deadline=_FOREVER,
    lifespan=_FOREVER,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_FOREVER,
    avoid_ros_namespace_conventions=False,
)
"""Quality of service that players offer results with, as the nodes do."""


class BagError(UserError):
    """A bag that cannot be read or written; the message says what was expected."""


# --- messages -------------------------------------------------------------------------------------------------------


class MessageTypes:
    """Classes of messages by their names (``types.Skeleton``), used as ROS's are: fields left out are zero or empty.

    Only those of the packages that this package deals with. Messages are written and read in CDR, as DDS sends them.

    Raises:
        BagError: when the .msg files of this package are not where the package was installed.
    """

    def __init__(self) -> None:
        self._store = _typestore()
        packages = ("builtin_interfaces", "std_msgs", "geometry_msgs", "sensor_msgs", "visualization_msgs")
        self._names = {
            name.rpartition("/")[2]: name
            for package in (*packages, "mambapose_ros")
            for name in self._store.fielddefs
            if name.startswith(f"{package}/")
        }
        self._classes: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"expected the name of a message, as Skeleton or Header, got {name!r}")
        if name not in self._classes:
            self._classes[name] = self._class(name)
        return self._classes[name]

    def read(self, data: bytes, type_name: str) -> Any:
        """A message from its bytes.

        Raises:
            ImageError: when they are not such a message; its cause is "corrupt message".
        """
        try:
            return self._store.deserialize_cdr(data, type_name)
        except (SerdeError, IndexError, AssertionError, MemoryError) as error:
            raise ImageError("corrupt message", f"expected a {type_name}, got {len(data)} bytes: {error}") from error

    def write(self, message: Any) -> memoryview:
        """The bytes of a message, little-endian on every machine."""
        return self._store.serialize_cdr(message, message.__msgtype__, little_endian=True)

    def definition(self, type_name: str) -> tuple[str, str]:
        """Text and hash (REP-2011) of a type, for whoever reads a bag without having the type."""
        return self._store.generate_msgdef(type_name, ros_version=2)[0], self._store.hash_rihs01(type_name)

    def _class(self, name: str) -> Any:
        type_name = self._names[name]
        base: Any = self._store.types[type_name]
        fields = dict(self._store.fielddefs[type_name][1])

        def __init__(self_: Any, **values: Any) -> None:
            if unknown := values.keys() - fields.keys():
                raise TypeError(f"expected fields of {type_name} ({', '.join(fields)}), got {sorted(unknown)}")
            base.__init__(self_, **{field: self._value(kind, values.get(field)) for field, kind in fields.items()})

        return type(name, (base,), {"__init__": __init__})

    def _value(self, kind: Any, given: Any) -> Any:
        node, detail = kind
        if node == Nodetype.NAME:
            return getattr(self, detail.rpartition("/")[2])() if given is None else given
        if node == Nodetype.BASE:
            return _ZEROS.get(detail[0], 0) if given is None else given
        element, count = detail
        if element[0] == Nodetype.BASE and element[1][0] != "string":
            length = count if node == Nodetype.ARRAY else 0
            return np.array(np.zeros(length) if given is None else given, dtype=element[1][0])
        if given is None:
            return [self._value(element, None) for _ in range(count if node == Nodetype.ARRAY else 0)]
        return list(given)


_ZEROS = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


@cache
def _typestore() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    definitions: dict[str, Any] = {}
    for path in sorted(_message_folder().glob("*.msg")):
        definitions.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"mambapose_ros/msg/{path.stem}"))
    store.register(definitions)
    return store


def _message_folder() -> Path:
    """Where this package's .msg files are: in a checkout, or in the share folder of an install space."""
    here = Path(__file__).resolve()
    installed = (parent / "share" / "mambapose_ros" / "msg" for parent in here.parents)
    for folder in (here.parents[1] / "msg", *installed):
        if (folder / "SkeletonArray.msg").is_file():
            return folder
    raise BagError(
        f"the definitions of this package's messages are missing: expected SkeletonArray.msg in {here.parents[1]}/msg "
        "or in share/mambapose_ros/msg of an install space; build the package with colcon or `make build`"
    )


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def camera_from_info(message: Any) -> Camera:
    """Intrinsics of a sensor_msgs/CameraInfo.

    Raises:
        CameraError: when the message describes no camera (all-zero K, unknown distortion model, ...).
    """
    if not any(message.k):
        raise CameraError("expected calibrated intrinsics, got a CameraInfo whose K is all zero: calibrate the camera")
    return Camera(
        width=message.width,
        height=message.height,
        K=np.array(message.k),
        distortion_model=message.distortion_model or "plumb_bob",
        D=np.array(message.d),
    )


def image_to_rgb(message: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image or CompressedImage.

    Raises:
        ImageError: when the message is no image.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        return decode_compressed(message.data, message.format)
    return decode_image(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


class Seen(Protocol):
    """An image, or what is known of it."""

    @property
    def stamp_ns(self) -> int: ...

    @property
    def frame_id(self) -> str: ...

    @property
    def camera(self) -> Camera: ...


def keypoints_message(types: MessageTypes, frame: Seen, people: Sequence[PersonKeypoints]) -> Any:
    """PersonKeypointsArray of the people in an image; those who are lost are not in it."""
    return types.PersonKeypointsArray(
        header=_header(types, frame),
        image_width=frame.camera.width,
        image_height=frame.camera.height,
        joint_names=JOINT_NAMES,
        people=[
            types.PersonKeypoints(
                id=person.id,
                confidence=float(person.confidence.mean()),
                roi=_region(types, person, frame.camera),
                keypoints=[
                    types.Keypoint2D(x=float(x), y=float(y), confidence=float(confidence))
                    for (x, y), confidence in zip(person.xy, person.confidence, strict=True)
                ],
            )
            for person in people
            if person.state != "lost"
        ],
    )


def skeletons_message(
    types: MessageTypes, frame: Seen, skeletons: Sequence[Skeleton3D], people: Sequence[PersonKeypoints] = ()
) -> Any:
    """SkeletonArray of the people in space; ``people`` gives their regions in the image."""
    regions = {person.id: _region(types, person, frame.camera) for person in people}
    return types.SkeletonArray(
        header=_header(types, frame),
        joint_names=JOINT_NAMES,
        parents=PARENTS,
        skeletons=[
            types.Skeleton(
                id=skeleton.id,
                tracking_state=TRACKING_STATES.index(skeleton.state),
                confidence=float(skeleton.confidence.mean()),
                scale_source=getattr(types.Skeleton, f"SCALE_{skeleton.scale_source.upper()}"),
                intrinsics_assumed=frame.camera.assumed,
                roi=regions.get(skeleton.id, types.RegionOfInterest()),
                joints=[_joint(types, skeleton, index) for index in range(len(JOINT_NAMES))],
            )
            for skeleton in skeletons
        ],
    )


def _header(types: MessageTypes, frame: Seen) -> Any:
    sec, nanosec = divmod(frame.stamp_ns, 1_000_000_000)
    return types.Header(stamp=types.Time(sec=sec, nanosec=nanosec), frame_id=frame.frame_id)


def _joint(types: MessageTypes, skeleton: Skeleton3D, index: int) -> Any:
    x, y, z = (float(value) for value in skeleton.joints[index])
    velocity = (math.nan,) * 3 if skeleton.velocity is None else skeleton.velocity[index]
    vx, vy, vz = (float(value) for value in velocity)
    covariance = np.array((-1.0, *(0.0,) * 8), np.float32)
    if skeleton.covariance is not None and np.isfinite(skeleton.covariance[index]).all():
        covariance = skeleton.covariance[index].astype(np.float32).reshape(9)
    confidence = float(skeleton.confidence[index])
    if not np.isfinite((x, y, z)).all():
        state = types.Joint3D.STATE_MISSING
    else:
        state = types.Joint3D.STATE_MEASURED if confidence > 0 else types.Joint3D.STATE_INFERRED
    return types.Joint3D(
        position=types.Point(x=x, y=y, z=z),
        velocity=types.Vector3(x=vx, y=vy, z=vz),
        covariance=covariance,
        confidence=confidence,
        state=state,
    )


def _region(types: MessageTypes, person: PersonKeypoints, camera: Camera) -> Any:
    """The person's box cut at the image's border; width 0 when nothing of it is inside."""
    x0, y0, x1, y1 = person.box
    if not math.isfinite(x0):
        return types.RegionOfInterest()
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(camera.width, math.ceil(x1) + 1), min(camera.height, math.ceil(y1) + 1)
    if right <= left or bottom <= top:
        return types.RegionOfInterest()
    return types.RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """One message of a bag.

    Attributes:
        topic: where it was published.
        log_time_ns: when it was recorded, nanoseconds.
        data: CDR bytes.
    """

    topic: str
    log_time_ns: int
    data: bytes


class BagReader:
    """A bag: a folder with metadata.yaml, or a single .mcap or .db3 file. Use it in a ``with`` statement.

    Attributes:
        storage: "sqlite3" or "mcap".
        topics: name -> message type; topics that carry several types are left out.

    Raises:
        BagError: when there is no such bag, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.storage = _storage(path)
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # a damaged file fails with whatever the storage's library throws
            raise BagError(
                f"cannot open the bag {path}: {error}; where a recording was cut off, `ros2 bag reindex` (sqlite3) or "
                "`mcap recover` (mcap) repairs it"
            ) from error
        self.topics: dict[str, str] = {
            name: info.msgtype for name, info in sorted(self._reader.topics.items()) if info.msgtype is not None
        }

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(ReaderError):
            self._reader.close()

    @property
    def image_topics(self) -> list[str]:
        """Topics of images of any kind, depth included."""
        return [topic for topic, kind in self.topics.items() if kind in (IMAGE, COMPRESSED_IMAGE)]

    def count(self, topics: Collection[str]) -> int:
        """How many messages of these topics the bag says to hold."""
        return sum(connection.msgcount for connection in self._reader.connections if connection.topic in topics)

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        """Every message of these topics, in the order of recording.

        Raises:
            BagError: where the bag is damaged, so that nothing after that can be read, and at the end when messages
                are missing.
        """
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        if not connections:
            return
        stored = self._reader.messages(connections)
        expected, came = self.count(topics), 0
        while True:
            try:
                connection, log_time_ns, data = next(stored)
            except StopIteration:
                break
            except Exception as error:  # as above
                raise BagError(f"the bag {self._path} is damaged: {type(error).__name__}: {error}") from error
            came += 1
            yield Recorded(connection.topic, log_time_ns, data)
        if came < expected:  # rosbags passes over some damage without a word
            raise BagError(f"the bag {self._path} is damaged: expected {expected} messages, found {came}")


def _storage(path: Path) -> str:
    expected = "expected a folder with metadata.yaml, or a .mcap or .db3 file"
    if path.is_file():
        storage = {".mcap": "mcap", ".db3": "sqlite3"}.get(path.suffix)
        if storage is None:
            convert = "; rosbags-convert turns bags of ROS 1 into those of ROS 2" if path.suffix == ".bag" else ""
            raise BagError(f"cannot read {path}: {expected}, got a file that ends in {path.suffix!r}{convert}")
        return storage
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        found = "a folder without one" if path.is_dir() else "nothing of that name"
        raise BagError(f"cannot read {path}: {expected}, got {found}")
    try:
        storage = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"][
            "storage_identifier"
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BagError(f"cannot read {metadata}: expected what rosbag2 writes, got {error!r}") from error
    if storage not in ("mcap", "sqlite3"):
        raise BagError(f"cannot read {path}: expected the storage mcap or sqlite3, got {storage!r}")
    return storage


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
            others, rather raw than compressed.

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
        if not _unsuitable(bag, types, topic):
            camera = _camera_topics(bag, topic)
            best.setdefault(camera.namespace, camera)
    if not best:
        carried = ", ".join(f"{name} ({kind})" for name, kind in bag.topics.items()) or "nothing"
        raise BagError(f"expected a topic of colour or grey images ({IMAGE} or {COMPRESSED_IMAGE}), got {carried}")
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


@dataclass(frozen=True)
class Intrinsics:
    """What a camera said of itself during a recording.

    Attributes:
        stamps_ns: when each of ``cameras`` began to hold, increasing.
        cameras: as many.
        problem: why there is none, or why messages could not be used; empty = all is well.
    """

    stamps_ns: tuple[int, ...]
    cameras: tuple[Camera, ...]
    problem: str

    def at(self, stamp_ns: int, width: int, height: int) -> tuple[Camera, str]:
        """The camera of an image, and why its intrinsics are assumed; empty when they are known.

        It is the one that was said last before the image, or, where the recording had none yet, the first one after.
        """
        problem = self.problem
        if self.cameras:
            camera = self.cameras[max(0, bisect_right(self.stamps_ns, stamp_ns) - 1)]
            if (camera.width, camera.height) == (width, height):
                return camera, ""
            size = f"{camera.width}x{camera.height}"
            problem = f"expected a camera_info for {width}x{height}, the image's size, got {size}"
        return Camera.from_fov(width, height, assumed=True), problem


def read_intrinsics(bag: BagReader, types: MessageTypes, cameras: Sequence[CameraTopics]) -> dict[str, Intrinsics]:
    """Image topic -> intrinsics, of a whole recording: also those that were recorded after the first images."""
    said: dict[str, list[tuple[int, Camera]]] = {camera.camera_info: [] for camera in cameras if camera.camera_info}
    problems = dict.fromkeys(said, "no camera_info was recorded")
    try:
        for recorded in bag.messages(said):
            try:
                message = types.read(recorded.data, CAMERA_INFO)
                camera, stamp_ns = camera_from_info(message), stamp_to_ns(message.header.stamp)
            except (CameraError, ImageError) as error:
                problems[recorded.topic] = str(error)
                continue
            before = said[recorded.topic]
            # A camera says the same with every image; only what changes, or lies before what is known, is kept.
            if not before or stamp_ns < before[-1][0] or camera != before[-1][1]:
                before.append((stamp_ns, camera))
    except BagError as error:  # whoever reads the images meets the damage again, and says so
        problems |= {topic: str(error) for topic, before in said.items() if not before}
    result = {}
    for topics in cameras:
        ordered = sorted(said.get(topics.camera_info, ()), key=lambda pair: pair[0])
        stamps_ns, known = tuple(stamp for stamp, _ in ordered), tuple(camera for _, camera in ordered)
        problem = problems.get(topics.camera_info, "no camera_info was recorded beside the images")
        result[topics.image] = Intrinsics(stamps_ns, known, problem)
    return result


# --- writing --------------------------------------------------------------------------------------------------------


class BagWriter:
    """A new bag: a folder with metadata.yaml and one file. Use it in a ``with`` statement, which finishes the bag.

    Args:
        path: of the folder; must not exist.
        storage: "sqlite3" or "mcap".
        types: to write messages with.

    Raises:
        BagError: when the folder exists already or cannot be made.
    """

    def __init__(self, path: Path, storage: str, types: MessageTypes) -> None:
        self._types = types
        try:
            self._writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin[storage.upper()])
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BagError(f"cannot write the bag {path}: {error}; choose another name") from error
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        # Also after an error: what was written up to it is a bag.
        self._writer.close()

    def add_topic(self, topic: str, type_name: str) -> None:
        """Announce a topic, reliable with a depth of 5."""
        definition, digest = self._types.definition(type_name)
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, msgdef=definition, rihs01=digest, offered_qos_profiles=[RELIABLE_5]
        )

    def write(self, topic: str, log_time_ns: int, message: Any) -> None:
        """Append a message."""
        self._writer.write(self._connections[topic], log_time_ns, self._types.write(message))


# --- one camera's way through a bag ---------------------------------------------------------------------------------


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
        self._frames_with_people = 0
        self._dropped, self._restarts, self._assumed = Tally(), Tally(), Tally()
        # Stamp -> recording time of the images whose skeletons may still come: looking ahead, they come late.
        self._recent: deque[tuple[int, int]] = deque(maxlen=options.lookahead + 1)

    def announce(self, results: BagWriter) -> None:
        """Declare the topics of the results."""
        results.add_topic(self._topic("keypoints"), PERSON_KEYPOINTS_ARRAY)
        if self._lifts:
            results.add_topic(self._topic("skeletons"), SKELETON_ARRAY)

    def process(self, recorded: Recorded, results: BagWriter) -> None:
        """Find the people in one image and write them; what is no image is dropped and counted."""
        try:
            frame = self._frame(recorded)
        except ImageError as error:
            self._dropped.add(error.cause, str(error))
            return
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
        for lifted in self._pipeline.flush():
            self._write_skeletons(lifted, results)
        self._pipeline.close()

    def report(self) -> list[str]:
        """What was done and what went wrong, one line per cause."""
        name = self._topics.image
        lines = [f"{name}: {self.frames} frames, people in {self._frames_with_people} of them"]
        for cause, count in self._dropped.counts.items():
            lines.append(f"{name}: {count} messages dropped: {self._dropped.examples[cause]}")
        for cause, count in self._restarts.counts.items():
            example = self._restarts.examples[cause]
            lines.append(f"{name}: {cause} ({count} times, first at {example}): started anew, people got new ids")
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

    def _write_skeletons(self, lifted: LiftedFrame, results: BagWriter) -> None:
        # The newest of that stamp: where stamps repeat, the lifter has forgotten the older one.
        log_time_ns = next(log_time for stamp, log_time in reversed(self._recent) if stamp == lifted.stamp_ns)
        message = skeletons_message(self._types, lifted, lifted.skeletons, lifted.keypoints)
        results.write(self._topic("skeletons"), log_time_ns, message)
