"""People in 3D from one camera or several: pose_node for each, and RViz if asked.

ros2 launch mambapose_ros mambapose.launch.py image_topic:=/camera/image_raw rviz:=true
ros2 launch mambapose_ros mambapose.launch.py cameras:=front,rear image_topic:=/{camera}/image_raw
ros2 launch mambapose_ros mambapose.launch.py --show-args
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from mambapose_ros.nodes.launch_arguments import CameraArguments, cameras_of, doubts, parameter_file, sim_time
from mambapose_ros.nodes.localhost import stay_on_this_machine
from mambapose_ros.nodes.rviz_config import rviz_arguments
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS

CONFIG = Path(get_package_share_directory("mambapose_ros")) / "config"

ARGUMENTS = (
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="names such as front,rear: a pose_node for each, in a namespace of that name; empty = one camera",
    ),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="topic of the images; {camera} in it is the camera's name, as in /{camera}/image_raw",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="topic of its intrinsics, with {camera} as image_topic; empty = camera_info beside image_topic",
    ),
    DeclareLaunchArgument(
        "depth_topic",
        default_value="depth",
        description="topic of depth registered to the images, with {camera} as image_topic; needs a parameter "
        "depth: sensor, as preset:=rgbd has it",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="of the nodes and what they publish"),
    DeclareLaunchArgument(
        "preset",
        default_value="none",
        choices=["none", "cpu", "gpu", "jetson", "rgbd"],
        description="config/<preset>.yaml: what differs from config/mambapose.yaml on such a machine",
    ),
    DeclareLaunchArgument(
        "params_file", default_value="", description="your own parameters, which override those of the preset"
    ),
    DeclareLaunchArgument(
        "detector",
        default_value="",
        choices=["", *IMAGE_DETECTORS, "external"],
        description="2D front end; overrides params_file and the preset, empty = keep theirs",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", *DEVICES],
        description="where networks run; overrides params_file and the preset, empty = keep theirs",
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
    cameras = cameras_of(given, context.launch_configurations.get("ros_namespace", ""))
    if given["localhost"] == "true":
        stay_on_this_machine(context.environment)
    nodes = [pose_node(given, camera) for camera in cameras]
    told = [*doubts(context.argv, given, CONFIG / "mambapose.yaml"), *depth_doubts(given)]
    doubtful = [LogInfo(msg=doubt) for doubt in told]
    # RViz first: where it is missing, nothing has been started that would stay.
    return [*doubtful, *([rviz(given, cameras)] if given["rviz"] == "true" else []), *nodes]


def pose_node(given: dict[str, str], camera: CameraArguments) -> Node:
    """The pipeline of one camera in one process."""
    values = {name: given[name] for name in ("detector", "device") if given[name]}
    if camera.id_prefix:
        values["id_prefix"] = camera.id_prefix
    own = [values] if values else []
    return Node(
        package="mambapose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=camera.namespace,
        output="screen",
        parameters=[*preset(given), *parameter_file(given), *own, *sim_time(given)],
        remappings=[
            ("image", camera.image),
            ("image/compressed", f"{camera.image}/compressed"),
            ("camera_info", camera.camera_info),
            ("depth", camera.depth),
        ],
    )


def depth_doubts(given: dict[str, str]) -> list[str]:
    """A warning where nothing that is given has depth used."""
    if given["depth_topic"] == "depth" or given["preset"] == "rgbd" or given["params_file"]:
        return []
    return [f"depth_topic {given['depth_topic']} needs a parameter depth: sensor; preset:=rgbd has it"]


def preset(given: dict[str, str]) -> list[str]:
    """Its file, if there is one."""
    return [] if given["preset"] == "none" else [str(CONFIG / f"{given['preset']}.yaml")]


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
