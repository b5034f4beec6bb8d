"""People in 3D by several processes, here or on several machines: keypoint_node, flow_node, depth_node and lifter_node,
and marker_node to look at them.

ros2 launch mambapose_ros distributed.launch.py namespace:=robot image_topic:=/camera/image_raw
ros2 launch mambapose_ros distributed.launch.py namespace:=robot image_topic:=/camera/image_raw start:=keypoints
ros2 launch mambapose_ros distributed.launch.py namespace:=robot image_topic:=/camera/image_raw start:=flow,lifter
ros2 launch mambapose_ros distributed.launch.py namespace:=robot start:=markers rviz:=true
ros2 launch mambapose_ros distributed.launch.py cameras:=front,rear image_topic:=/{camera}/image_raw

The second, third and fourth command share the work of the first between three machines. In the fifth, each camera has
stages of its own, and one lifter_node serves all.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from mambapose_ros.errors import UserError
from mambapose_ros.messages import is_rectified
from mambapose_ros.nodes.launch_arguments import (
    CameraArguments,
    below,
    cameras_of,
    doubts,
    id_prefix,
    parameter_file,
    sim_time,
)
from mambapose_ros.nodes.localhost import stay_on_this_machine
from mambapose_ros.nodes.rviz_config import rviz_arguments
from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS

CONFIG = Path(get_package_share_directory("mambapose_ros")) / "config"

STAGES = ("keypoints", "flow", "depth", "lifter", "markers")

ARGUMENTS = (
    DeclareLaunchArgument(
        "start",
        default_value="keypoints,flow,depth,lifter,markers",
        description="which of these to start on this machine; flow and depth are left out where they are off",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="names such as front,rear: stages for each, in a namespace of that name, and one lifter_node for "
        "all; empty = one camera",
    ),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="topic of the images; {camera} in it is the camera's name, as in /{camera}/image_raw",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed = take <image_topic>/compressed: a tenth of the bandwidth, about the same people; "
        "overrides params_file, empty = as that says",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="topic of its intrinsics, with {camera} as image_topic; empty = camera_info beside image_topic",
    ),
    DeclareLaunchArgument(
        "depth_topic",
        default_value="depth",
        description="topic of depth registered to the images, with {camera} as image_topic; needs depth:=sensor",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="of the nodes and all they publish"),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="your own parameters; config/distributed.yaml has all there are, with their defaults",
    ),
    DeclareLaunchArgument(
        "detector",
        default_value="",
        choices=["", *IMAGE_DETECTORS],
        description="2D front end; overrides params_file, empty = as that says",
    ),
    DeclareLaunchArgument(
        "flow",
        default_value="",
        choices=["", *FLOWS],
        description="optical flow, for flow_node and lifter_node; overrides params_file, empty = as that says",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="off",
        choices=["off", *(name for name in DEPTHS if name != "off")],
        description="a network, or sensor = take depth_topic; of depth_node and lifter_node, whatever files say",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", *DEVICES],
        description="where networks run; overrides params_file, empty = as that says",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false"],
        description="take time from /clock; overrides params_file, empty = as that says",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="show it with config/mambapose.rviz, all cameras in one window",
    ),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="",
        description="of RViz; empty = camera_optical_frame, as source_node stamps; several cameras need one",
    ),
    DeclareLaunchArgument(
        "localhost",
        default_value="false",
        choices=["true", "false"],
        description="stay on this machine, with shared memory for raw images (config/fastdds_localhost.xml)",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Action]:
    """The nodes that the arguments ask for, after what is doubtful about them."""
    given = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS}
    asked = {stage.strip() for stage in given["start"].split(",") if stage.strip()}
    if not asked or asked - set(STAGES):
        raise UserError(f"start: expected some of {','.join(STAGES)}, separated by commas, got {given['start']!r}")
    cameras = cameras_of(given, context.launch_configurations.get("ros_namespace", ""))
    if given["depth_topic"] != "depth" and given["depth"] != "sensor":
        raise UserError(f"depth_topic: {given['depth_topic']} is used with depth:=sensor alone, got {given['depth']}")
    if given["localhost"] == "true":
        stay_on_this_machine(context.environment)
    if given["flow"] == "off":
        asked.discard("flow")
    if given["depth"] in ("off", "sensor"):
        asked.discard("depth")
    if not asked:
        raise UserError(
            f"start: nothing is left of {given['start']} with flow:={given['flow'] or '(as files say)'} and "
            f"depth:={given['depth']}; depth_node starts with depth:=NETWORK"
        )
    makers = {
        "keypoints": keypoint_node,
        "flow": flow_node,
        "depth": depth_node,
        "markers": marker_node,
    }
    nodes = [maker(given, camera) for stage, maker in makers.items() if stage in asked for camera in cameras]
    if "lifter" in asked:
        nodes.append(lifter_node(given, cameras))
    doubtful = [LogInfo(msg=doubt) for doubt in doubts(context.argv, given, CONFIG / "distributed.yaml")]
    # RViz first: where it is missing, nothing has been started that would stay.
    return [*doubtful, *([rviz(given, cameras)] if given["rviz"] == "true" else []), *nodes]


def keypoint_node(given: dict[str, str], camera: CameraArguments) -> Node:
    """Finds people."""
    return Node(
        package="mambapose_ros",
        executable="keypoint_node",
        name="keypoint_node",
        namespace=camera.namespace,
        output="screen",
        parameters=parameters(given, "detector", "device", "image_transport"),
        remappings=images(camera),
    )


def flow_node(given: dict[str, str], camera: CameraArguments) -> Node:
    """Estimates flow."""
    return Node(
        package="mambapose_ros",
        executable="flow_node",
        name="flow_node",
        namespace=camera.namespace,
        output="screen",
        parameters=parameters(given, "flow", "device", "image_transport"),
        remappings=images(camera),
    )


def depth_node(given: dict[str, str], camera: CameraArguments) -> Node:
    """Estimates depth."""
    return Node(
        package="mambapose_ros",
        executable="depth_node",
        name="depth_node",
        namespace=camera.namespace,
        output="screen",
        parameters=parameters(given, "depth", "device", "image_transport"),
        remappings=images(camera),
    )


def marker_node(given: dict[str, str], camera: CameraArguments) -> Node:
    """Draws the skeletons."""
    return Node(
        package="mambapose_ros",
        executable="marker_node",
        name="marker_node",
        namespace=camera.namespace,
        output="screen",
        parameters=parameters(given),
    )


def lifter_node(given: dict[str, str], cameras: tuple[CameraArguments, ...]) -> Node:
    """Joins what the others made of all cameras, and lifts."""
    values: dict[str, object] = {"rectified": True} if is_rectified(given["image_topic"]) else {}
    if given["cameras"]:
        values["cameras"] = [camera.name for camera in cameras]
    if prefix := id_prefix(below(cameras[0].pushed, given["namespace"])):
        values["id_prefix"] = prefix
    if given["flow"]:
        values["flow"] = given["flow"] != "off"
    topics = ["camera_info", *(["depth"] if given["depth"] == "sensor" else [])]
    return Node(
        package="mambapose_ros",
        executable="lifter_node",
        name="lifter_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given, "depth", "device", **values),
        remappings=[
            (camera.seen_from_above(topic), camera.seen_from_above(getattr(camera, topic)))
            for camera in cameras
            for topic in topics
        ],
    )


def images(camera: CameraArguments) -> list[tuple[str, str]]:
    """Where images come from."""
    return [("image", camera.image), ("image/compressed", f"{camera.image}/compressed")]


def parameters(given: dict[str, str], *names: str, **values: object) -> list:
    """The user's file, and the arguments of these names and other values, which come before it."""
    values = {**{name: given[name] for name in names if given[name]}, **values}
    return [*parameter_file(given), *([values] if values else []), *sim_time(given)]


def rviz(given: dict[str, str], cameras: tuple[CameraArguments, ...]) -> Node:
    """RViz, set up for the topics as published."""
    namespaces = [camera.whole_namespace for camera in cameras]
    return Node(
        package="rviz2",
        executable="rviz2",
        output="screen",
        arguments=rviz_arguments(CONFIG / "mambapose.rviz", namespaces, given["fixed_frame"]),
        parameters=sim_time(given),
    )
