"""People in 3D from one camera: pose_node, and RViz if asked.

ros2 launch mambapose_ros mambapose.launch.py image_topic:=/camera/image_raw rviz:=true
ros2 launch mambapose_ros mambapose.launch.py --show-args
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from mambapose_ros.nodes.localhost import stay_on_this_machine
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS

CONFIG = Path(get_package_share_directory("mambapose_ros")) / "config"

ARGUMENTS = (
    DeclareLaunchArgument("image_topic", default_value="image", description="topic of the camera's images"),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="topic of its intrinsics; empty = camera_info beside image_topic",
    ),
    DeclareLaunchArgument("depth_topic", default_value="depth", description="topic of depth registered to the images"),
    DeclareLaunchArgument("namespace", default_value="", description="of the node and what it publishes: one a camera"),
    DeclareLaunchArgument(
        "preset",
        default_value="none",
        choices=["none", "cpu", "gpu", "jetson", "rgbd"],
        description="config/<preset>.yaml: what differs from config/mambapose.yaml on such a machine",
    ),
    DeclareLaunchArgument(
        "params_file", default_value="", description="your own parameters, which come before those of the preset"
    ),
    DeclareLaunchArgument(
        "detector",
        default_value="",
        choices=["", *IMAGE_DETECTORS],
        description="2D front end, before all files; empty = theirs",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", *DEVICES],
        description="where networks run, before all files; empty = theirs",
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="take time from /clock"
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["true", "false"], description="show it with config/mambapose.rviz"
    ),
    DeclareLaunchArgument(
        "fixed_frame", default_value="", description="of RViz; empty = camera_optical_frame, as source_node stamps"
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
    if given["localhost"] == "true":
        stay_on_this_machine(context.environment)
    # RViz first: where it is missing, nothing has been started that would stay.
    return [*([rviz(given)] if given["rviz"] == "true" else []), pose_node(given)]


def pose_node(given: dict[str, str]) -> Node:
    """The pipeline in one process."""
    image = given["image_topic"]
    folder, slash, _ = image.rpartition("/")
    return Node(
        package="mambapose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=given["namespace"],
        output="screen",
        parameters=parameters(given),
        remappings=[
            ("image", image),
            ("image/compressed", f"{image}/compressed"),
            ("camera_info", given["camera_info_topic"] or f"{folder}{slash}camera_info"),
            ("depth", given["depth_topic"]),
        ],
    )


def parameters(given: dict[str, str]) -> list:
    """Parameter files and values, from the weakest to the strongest."""
    files = [CONFIG / "mambapose.yaml"]
    if given["preset"] != "none":
        files.append(CONFIG / f"{given['preset']}.yaml")
    if given["params_file"]:
        files.append(Path(given["params_file"]))
        if not files[-1].is_file():
            raise RuntimeError(
                f"params_file: expected a YAML file as {CONFIG / 'mambapose.yaml'}, found none at {files[-1]}"
            )
    values = {name: given[name] for name in ("detector", "device") if given[name]}
    return [*map(str, files), {**values, "use_sim_time": given["use_sim_time"] == "true"}]


def rviz(given: dict[str, str]) -> Node:
    """RViz, set up for the topics as published."""
    namespace = given["namespace"].strip("/")
    return Node(
        package="rviz2",
        executable="rviz2",
        output="screen",
        arguments=[
            "-d",
            str(CONFIG / "mambapose.rviz"),
            *(["-f", given["fixed_frame"]] if given["fixed_frame"] else []),
        ],
        parameters=[{"use_sim_time": given["use_sim_time"] == "true"}],
        remappings=[(f"/{topic}", f"/{namespace}/{topic}") for topic in ("markers", "annotated") if namespace],
    )
