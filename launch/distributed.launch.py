"""People in 3D by several processes, here or on several machines: keypoint_node, flow_node, depth_node, lifter_node.

ros2 launch mambapose_ros distributed.launch.py namespace:=front image_topic:=/camera/image_raw
ros2 launch mambapose_ros distributed.launch.py namespace:=front image_topic:=/camera/image_raw start:=keypoints
ros2 launch mambapose_ros distributed.launch.py namespace:=front image_topic:=/camera/image_raw start:=flow,lifter

The second and the third command share the work of the first between two machines.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from mambapose_ros.nodes.localhost import stay_on_this_machine
from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS

STAGES = ("keypoints", "flow", "depth", "lifter")

ARGUMENTS = (
    DeclareLaunchArgument(
        "start",
        default_value="keypoints,flow,depth,lifter",
        description="which of these to start on this machine; flow and depth are left out where they are off",
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="topic of the camera's images"),
    DeclareLaunchArgument(
        "image_transport",
        default_value="raw",
        choices=["raw", "compressed"],
        description="compressed = take <image_topic>/compressed: a tenth of the bandwidth, about the same people",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="topic of its intrinsics; empty = camera_info beside image_topic",
    ),
    DeclareLaunchArgument("depth_topic", default_value="depth", description="topic of depth registered to the images"),
    DeclareLaunchArgument("namespace", default_value="", description="of the nodes and all they publish: one a camera"),
    DeclareLaunchArgument(
        "params_file", default_value="", description="your own parameters, one section for each node"
    ),
    DeclareLaunchArgument(
        "detector",
        default_value="",
        choices=["", *IMAGE_DETECTORS],
        description="2D front end, before params_file; empty = keypoint_node's",
    ),
    DeclareLaunchArgument(
        "flow",
        default_value="dis",
        choices=["dis", *(name for name in FLOWS if name != "dis")],
        description="optical flow",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="off",
        choices=["off", *(name for name in DEPTHS if name != "off")],
        description="a network, or sensor = take depth_topic",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", *DEVICES],
        description="where networks run, before params_file; empty = the nodes'",
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="take time from /clock"
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


def start(context: LaunchContext) -> list[Node]:
    """The nodes that the arguments ask for."""
    given = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS}
    asked = {stage.strip() for stage in given["start"].split(",") if stage.strip()}
    if not asked or asked - set(STAGES):
        raise RuntimeError(f"start: expected some of {','.join(STAGES)}, separated by commas, got {given['start']!r}")
    if given["localhost"] == "true":
        stay_on_this_machine(context.environment)
    if given["flow"] == "off":
        asked.discard("flow")
    if given["depth"] in ("off", "sensor"):
        asked.discard("depth")
    makers = {
        "keypoints": keypoint_node,
        "flow": flow_node,
        "depth": depth_node,
        "lifter": lifter_node,
    }
    return [makers[stage](given) for stage in STAGES if stage in asked]


def keypoint_node(given: dict[str, str]) -> Node:
    """Finds people."""
    values = {name: given[name] for name in ("detector", "device") if given[name]}
    return Node(
        package="mambapose_ros",
        executable="keypoint_node",
        name="keypoint_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given, {**values, "image_transport": given["image_transport"]}),
        remappings=images(given),
    )


def flow_node(given: dict[str, str]) -> Node:
    """Estimates flow."""
    values = {name: given[name] for name in ("flow", "device") if given[name]}
    return Node(
        package="mambapose_ros",
        executable="flow_node",
        name="flow_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given, {**values, "image_transport": given["image_transport"]}),
        remappings=images(given),
    )


def depth_node(given: dict[str, str]) -> Node:
    """Estimates depth."""
    values = {name: given[name] for name in ("depth", "device") if given[name]}
    return Node(
        package="mambapose_ros",
        executable="depth_node",
        name="depth_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given, {**values, "image_transport": given["image_transport"]}),
        remappings=images(given),
    )


def lifter_node(given: dict[str, str]) -> Node:
    """Joins what the others made, and lifts."""
    values = {"device": given["device"]} if given["device"] else {}
    folder, slash, _ = given["image_topic"].rpartition("/")
    remappings = [("camera_info", given["camera_info_topic"] or f"{folder}{slash}camera_info")]
    if given["depth"] == "sensor":
        remappings.append(("depth", given["depth_topic"]))
    return Node(
        package="mambapose_ros",
        executable="lifter_node",
        name="lifter_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given, {**values, "flow": given["flow"] != "off", "depth": given["depth"]}),
        remappings=remappings,
    )


def images(given: dict[str, str]) -> list[tuple[str, str]]:
    """Where images come from."""
    image = given["image_topic"]
    return [("image", image), ("image/compressed", f"{image}/compressed")]


def parameters(given: dict[str, str], values: dict) -> list:
    """The user's file, and what goes before it."""
    files = []
    if given["params_file"]:
        files.append(given["params_file"])
        if not Path(files[0]).is_file():
            raise RuntimeError(f"params_file: expected a YAML file of parameters, found none at {files[0]}")
    return [*files, {**values, "use_sim_time": given["use_sim_time"] == "true"}]
