"""The whole way without a camera: images of a synthetic person or a file, pose_node, and RViz if asked.

ros2 launch mambapose_ros demo.launch.py rviz:=true
ros2 launch mambapose_ros demo.launch.py source:=walk.mp4
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

LAUNCH = Path(get_package_share_directory("mambapose_ros")) / "launch"


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` runs."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "source",
                default_value="synthetic:walk",
                description="video file, picture folder, webcam index, or synthetic[:MOTION]",
            ),
            DeclareLaunchArgument(
                "camera_info_file", default_value="", description="YAML that camera_calibration wrote of the source"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="of all nodes"),
            # First, for it sets the environment of what starts after it.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(LAUNCH / "mambapose.launch.py")),
                launch_arguments={"localhost": "true", "namespace": LaunchConfiguration("namespace")}.items(),
            ),
            Node(
                package="mambapose_ros",
                executable="source_node",
                name="source_node",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                parameters=[
                    {
                        name: ParameterValue(LaunchConfiguration(name), value_type=str)
                        for name in ("source", "camera_info_file")
                    }
                ],
            ),
        ]
    )
