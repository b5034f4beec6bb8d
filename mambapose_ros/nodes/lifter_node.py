"""People in space, from keypoints, flow and depth that other processes made, of one camera or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, TimeReference

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.image_encoding import ImageError
from mambapose_ros.msg import PersonKeypointsArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import keypoints_from_msg, keypoints_to_msg
from mambapose_ros.nodes.dense_maps import depth_topic
from mambapose_ros.nodes.humans import is_body_id
from mambapose_ros.nodes.intrinsics import Intrinsics
from mambapose_ros.nodes.lifter_inputs import JoinedMessages, LifterInputs
from mambapose_ros.nodes.network_device import NetworkDevice
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.processing_node import PROCESSING_PARAMETERS, ProcessingNode
from mambapose_ros.nodes.skeleton_output import SKELETON_PARAMETERS, SkeletonOutput, listen_to_transforms
from mambapose_ros.nodes.spin import spin_node, steady_timer
from mambapose_ros.nodes.stamp_join import StampJoin
from mambapose_ros.nodes.transforms import TransformListener
from mambapose_ros.perception.continuity import discontinuity, loses_people, starting_anew
from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.types import LiftedFrame

if TYPE_CHECKING:
    from mambapose_ros.perception.lifting_networks import LiftingNetwork

PARAMETERS = (
    *PROCESSING_PARAMETERS,
    *SKELETON_PARAMETERS,
    ParameterSpec("cameras", [""], "namespaces of the cameras, below the node's own; one empty name = that itself"),
    ParameterSpec("rectified", False, "keypoints are of rectified images: camera_info's P holds, not its K and D"),
    ParameterSpec("flow", True, "whether keypoints are joined with the topics flow and flow/since"),
    ParameterSpec("depth", "off", "what makes the topic depth or inverse_depth to join", choices=tuple(DEPTHS)),
    ParameterSpec("join_timeout", 0.1, "seconds that keypoints wait for flow and depth", range=(0.0, 0.5)),
    ParameterSpec("max_people", 4, "people to follow; the most confident ones if more", range=(1, 32), changeable=True),
    ParameterSpec("weights", "auto", "name or file of the lifter; auto = mambapose-s on a GPU, mambapose-xs on a CPU"),
    ParameterSpec("window", 27, "frames that the lifter sees", range=(1, 243)),
    ParameterSpec("lookahead", 0, "frames that skeletons lie back; more is more accurate, and later", range=(0, 121)),
    ParameterSpec("flip_average", False, "average 3D over the mirror image: somewhat more accurate, twice the cost"),
    ParameterSpec("device", "auto", "where networks run; auto = a GPU when there is one", choices=DEVICES),
    ParameterSpec("threads", 1, "of networks on the CPU; more are faster on idle cores only", range=(1, 256)),
)

PARTNER_INPUT = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
"""Large messages in many pieces: unreliably sent, the loss of one piece loses all."""

WAITING_FRAMES = 3
"""Of each camera, that wait while others are lifted: several are ready at once when their partners were late."""

_FEW_JOINED = 0.5
"""Share of keypoints that come with a partner, below which diagnostics warn."""

POLL_S = 0.02
"""How often it is looked whether a wait has been long enough."""


class LifterNode(ProcessingNode):
    """For each camera, subscribes ``keypoints``, ``camera_info``, ``flow`` with ``flow/since`` and ``depth`` (of
    networks that give no metres ``inverse_depth``), joined by exact stamp; publishes ``skeletons``, TF and
    ``keypoints/tracked``: the same people with ids, and those who are hidden for a moment. Markers are marker_node's.

    Each camera has a tracker and a memory of its own; the network is shared, and lifts the people of all frames that
    wait in one batch, of those cameras whose skeletons or TF somebody subscribes to. Ids begin with the camera's name,
    if it has one (front_p1), since nobody knows who is the same in two of them.

    Args:
        node_arguments: as ``ProcessingNode``.
    """

    expects = "keypoints"

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("lifter_node", PARAMETERS, **node_arguments)
        names = [name.strip("/") for name in self.parameters["cameras"]]
        if not names or len(set(names)) < len(names):
            raise UserError(f"parameter cameras: got {names}; expected one or more different names, for example ['']")
        for name in filter(None, names):
            if not is_body_id(name.replace("/", "_")):
                raise UserError(
                    f"parameter cameras: got {name!r}; expected names of letters, digits and single _, a letter first, "
                    "since people's ids begin with them"
                )
        self._device = NetworkDevice(self.get_logger())
        self._transforms: TransformListener | None = None
        self._cameras = [self._make_camera(name) for name in names]
        steady_timer(self, POLL_S, self._poll, self.traffic)

    def _make_camera(self, name: str) -> _Camera:
        prefix = f"{name}/" if name else ""
        return _Camera(
            name=name,
            prefix=prefix,
            id_prefix=self.parameters["id_prefix"] + (f"{name.replace('/', '_')}_" if name else ""),
            intrinsics=Intrinsics(self.parameters["rectified"]),
            tracked_output=self.create_output(PersonKeypointsArray, f"{prefix}keypoints/tracked", qos.RESULT_OUTPUT),
            output=SkeletonOutput(self, prefix),
        )

    # --- states ---------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Load the network, and make a tracker and a lifter for each camera."""
        from mambapose_ros.perception.lifter import Lifter

        given = self.parameters
        self._transforms = listen_to_transforms(self)
        self._device.choose(given)
        network = self._device.run(self._load_network, self._load_network)
        for camera in self._cameras:
            if camera.tracker is None:
                camera.tracker = Tracker(id_prefix=camera.id_prefix)
            camera.tracker.reset()
            camera.tracker.max_people = given["max_people"]
            camera.lifter = Lifter(network, given["window"], given["lookahead"])
            camera.output.load(self._transforms)
        self.get_logger().info(f"configured with {given}; lifter: {self._cameras[0].lifter.description}")

    def _load_network(self) -> LiftingNetwork:
        from mambapose_ros.perception.lifting_networks import load_lifting_network
        from mambapose_ros.weights import lifter_for, locate

        path = locate(lifter_for(self._device.name, self.parameters["weights"]))
        return load_lifting_network(path, self.parameters["flip_average"], self._device.name)

    def unload(self) -> None:
        """Give back the network."""
        for camera in self._cameras:
            camera.last = camera.lifter = None  # the tracker stays: its ids are not given again
            camera.output.unload()
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None

    def start(self) -> None:
        """Lift, as long as somebody listens: the other nodes rest when nobody asks them for anything."""
        super().start()
        self.follow_demand()

    def stop(self) -> None:
        """Close the subscriptions, and end the work."""
        self.ignore_demand()
        super().stop()

    def forget(self) -> None:
        """Start anew: people get new ids."""
        for camera in self._cameras:
            camera.forget()

    def open_inputs(self) -> None:
        """Subscribe what is to be joined, of all cameras."""
        for camera in self._cameras:
            if not camera.subscriptions:
                self._open(camera)

    def look_for_demand(self) -> None:
        """Each camera has its own, so that the stages of those that nobody asks for rest."""
        for camera in self._cameras:
            wanted = not self.resting() and (camera.output.wanted or self.is_heard(camera.tracked_output))
            if wanted and not camera.subscriptions:
                self._open(camera)
            elif not wanted:
                while camera.subscriptions:
                    self.destroy_input(camera.subscriptions.pop())
                camera.inputs = None

    def inputs_closed(self) -> None:
        """Of all cameras; what waited for something is not kept."""
        for camera in self._cameras:
            camera.subscriptions.clear()
            camera.inputs = None

    def _open(self, camera: _Camera) -> None:
        depth, prefix = self.parameters["depth"], camera.prefix
        partners = (*(["flow"] if self.parameters["flow"] else []), *(["depth"] if depth != "off" else []))
        inputs = LifterInputs(partners, self.parameters["join_timeout"], self._hand_over, self._cameras.index(camera))
        camera.inputs, camera.heard_s = inputs, time.monotonic()

        def subscribe(message_type: type, topic: str, callback: Callable[[Any], Any], profile: QoSProfile) -> None:
            camera.subscriptions.append(self.create_input(message_type, f"{prefix}{topic}", callback, profile))

        subscribe(CameraInfo, "camera_info", camera.intrinsics.put, qos.CAMERA_INFO_INPUT)
        if "depth" in partners:
            profile = qos.IMAGE_INPUT if depth == "sensor" else PARTNER_INPUT
            subscribe(Image, depth_topic(depth), inputs.put_depth, profile)
        if "flow" in partners:
            put_flow = self._reporting(prefix, inputs.put_flow)
            subscribe(TimeReference, "flow/since", put_flow, PARTNER_INPUT)
            subscribe(Image, "flow", put_flow, PARTNER_INPUT)
        subscribe(PersonKeypointsArray, "keypoints", inputs.put_keypoints, qos.PEOPLE_INPUT)

    def prepare(self, values: dict[str, Any], parameters: dict[str, Any]) -> list[Callable[[], None]]:
        """Follow more people, or fewer."""

        def change() -> None:
            for camera in self._cameras:
                camera.tracker.max_people = parameters["max_people"]

        return [change] if "max_people" in values else []

    # --- input ----------------------------------------------------------------------------------------------------

    def _reporting(self, prefix: str, put: Callable[[Any], None]) -> Callable[[Any], None]:
        """The callback, with what is wrong with a message said instead of raised."""

        def callback(message: Any) -> None:
            try:
                put(message)
            except ImageError as error:
                self.warn(f"{prefix}{error.cause}", f"{prefix}flow not used: {error}")

        return callback

    def _hand_over(self, messages: JoinedMessages) -> None:
        # Each place holds the newest; so a few frames of a camera wait, and latency does not grow.
        camera = self._cameras[messages.camera]
        camera.count += 1
        camera.heard_s = time.monotonic()
        self.submit(messages, f"{messages.camera} {camera.count % WAITING_FRAMES}")

    def _poll(self) -> None:
        for camera in self._cameras:
            if self.active and (inputs := camera.inputs) is not None:
                inputs.poll()

    # --- work -----------------------------------------------------------------------------------------------------

    def process(self, items: tuple[JoinedMessages, ...]) -> None:
        """Lift the frames that wait: the oldest of each camera together, then the next."""
        while items:
            oldest = {messages.camera: messages for messages in reversed(items)}
            items = tuple(messages for messages in items if messages is not oldest[messages.camera])
            self._lift(oldest.values())

    def _lift(self, frames: Iterable[JoinedMessages]) -> None:
        """Publish the skeletons of one frame of each camera; a bad one does not keep the others from it."""
        stage_ms: dict[int, dict[str, float]] = {}
        for messages in frames:
            start = time.perf_counter()
            try:
                self._observe(self._cameras[messages.camera], messages)
            except Exception as error:  # whatever it is, the other cameras go on
                camera = self._cameras[messages.camera]
                bad = isinstance(error, ValueError)
                cause, text = ("bad keypoints", str(error)) if bad else (type(error).__name__, repr(error))
                self.fail(f"{camera.prefix}{cause}", f"{camera.prefix}keypoints: {text}")
            else:
                stage_ms[messages.camera] = {"tracker": (time.perf_counter() - start) * 1e3}
        start = time.perf_counter()
        wanted = [index for index in stage_ms if self._cameras[index].output.wanted]
        cameras = [self._cameras[index] for index in wanted]
        lifted = self._device.run(lambda: _lift_together(cameras), lambda: self._lift_again(cameras))
        lifter_ms = (time.perf_counter() - start) * 1e3
        found = dict(zip(wanted, lifted, strict=True))
        for index, times in stage_ms.items():
            if index in found:
                times["lifter"] = lifter_ms
            self._cameras[index].output.publish(found.get(index))
            self.record_result((found.get(index) or self._cameras[index].last).stamp_ns, times)

    def _lift_again(self, cameras: Sequence[_Camera]) -> tuple[LiftedFrame | None, ...]:
        """On the CPU; people keep their ids, and what is remembered of them."""
        network = self._load_network()
        for camera in self._cameras:
            camera.lifter.go_on_with(network)
        return _lift_together(cameras)

    def _observe(self, camera: _Camera, messages: JoinedMessages) -> None:
        """Give the people of a frame ids, and show them to the camera's lifter."""
        message = messages.keypoints
        found = keypoints_from_msg(message)
        intrinsics = camera.intrinsics.at(message.image_width, message.image_height)
        if camera.intrinsics.problem:
            self.warn(
                f"{camera.name} camera_info", f"{camera.prefix}camera_info: {camera.intrinsics.problem}; assuming"
            )
        image = _SeenImage(messages.stamp_ns, message.header.frame_id, intrinsics)
        if reason := discontinuity(camera.last, image):
            self.warn(f"{camera.name} {reason}", f"{camera.prefix}keypoints: {starting_anew(reason)}")
            camera.forget_images()
            if loses_people(reason):
                camera.tracker.reset()
            if reason == "stamp ran backwards":
                camera.output.stamps_ran_backwards()
        flow = messages.flow_since(camera.last.stamp_ns if camera.last else None)
        people = camera.tracker(image.stamp_ns, found, flow)
        camera.lifter.observe(image, people, flow, self._depth_of(camera, messages))
        camera.last = image
        if camera.tracked_output.get_subscription_count() > 0:
            camera.tracked_output.publish(keypoints_to_msg(image, people))

    def _depth_of(self, camera: _Camera, messages: JoinedMessages):
        try:
            return messages.depth_map(self.parameters["depth"])
        except ImageError as error:
            self.warn(f"{camera.prefix}{error.cause}", f"{camera.prefix}depth not used: {error}")
            return None

    # --- reports --------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Intrinsics, partners or transforms that are missing, or a GPU that has failed."""
        problems = self._device.problems()
        for camera in self._cameras:
            if self._inputs and not camera.subscriptions:
                continue  # others are wanted; of this one is only known what was wrong when it was
            if camera.intrinsics.problem:
                problems.append(f"{camera.prefix}camera_info: intrinsics assumed: {camera.intrinsics.problem}")
            problems += [f"{camera.prefix}{problem}" for problem in camera.output.problems()]
            problems += self._silence_of(camera)
            if (inputs := camera.inputs) is not None:
                problems += [
                    f"{camera.prefix}{problem}" for problem in _join_problems(inputs.join, self.parameters["depth"])
                ]
        return problems

    def _silence_of(self, camera: _Camera) -> list[str]:
        """That nothing comes of one camera; that nothing comes of any is said by the node's level."""
        if len(self._cameras) == 1 or not camera.subscriptions:
            return []
        silence_s = time.monotonic() - camera.heard_s
        return [f"no {camera.prefix}keypoints for {silence_s:.1f} s"] if silence_s > self.parameters["timeout"] else []

    def figures(self) -> dict[str, Any]:
        """What is followed, and what was not there in time."""
        figures: dict[str, Any] = {"running_on": self._device.name}
        for camera in self._cameras:
            figures.update({f"{camera.prefix}{name}": value for name, value in camera.output.figures().items()})
            if (inputs := camera.inputs) is not None:
                join = inputs.join
                figures.update({f"{camera.prefix}{name} missing": count for name, count in join.missing.items()})
                figures.update({f"{camera.prefix}{name} late": count for name, count in join.late.items()})
        if self._cameras[0].lifter is not None:
            figures["lifter"] = self._cameras[0].lifter.description
        return figures


@dataclass(frozen=True)
class _SeenImage:
    """What is known here of an image."""

    stamp_ns: int
    frame_id: str
    camera: Camera


@dataclass(eq=False)
class _Camera:
    """One camera: what comes of it, what is remembered, where results go.

    Attributes:
        prefix: of its topics.
        id_prefix: what its people's ids begin with; those of several cameras meet in TF.
        subscriptions: to its topics, while somebody wants its people.
        heard_s: steady seconds when its newest keypoints came, or when it began to listen.
        last: the image lifted last.
        count: of what was handed over.
    """

    name: str
    prefix: str
    id_prefix: str
    intrinsics: Intrinsics
    output: SkeletonOutput
    tracked_output: Any
    inputs: LifterInputs | None = None
    subscriptions: list[Subscription] = field(default_factory=list)
    tracker: Any = None
    lifter: Any = None
    last: _SeenImage | None = None
    heard_s: float = 0.0
    count: int = 0

    def forget(self) -> None:
        """What comes next does not follow what came, and people get new ids."""
        self.forget_images()
        self.tracker.reset()

    def forget_images(self) -> None:
        """What comes next does not follow what came."""
        self.last = None
        self.lifter.reset()


def _join_problems(join: StampJoin, depth: str) -> list[str]:
    """Partners of keypoints that do not come, or of other images; ``depth`` is the parameter."""
    problems = [f"{name} does not come in time: lifting without" for name in join.silent]
    for name in join.partners:
        share = join.joined_share(name)
        if name not in join.silent and share is not None and share < _FEW_JOINED:
            remedy = f"give keypoint_node and {name}_node the same max_rate, one that both keep up with"
            if name == "depth" and depth == "sensor":
                remedy = "expected depth with the stamps of the images"
            problems.append(f"{name} came for {share:.0%} of keypoints: {remedy}")
    return problems


def _lift_together(cameras: Sequence[_Camera]) -> tuple[LiftedFrame | None, ...]:
    from mambapose_ros.perception.lifter import lift_together

    return lift_together([camera.lifter for camera in cameras])


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(LifterNode)
