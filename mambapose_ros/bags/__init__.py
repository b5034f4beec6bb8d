"""Recordings of ROS 2 (rosbag2), read and written without ROS.

Storages are sqlite3 and mcap. This package's messages are defined by its .msg files, those of ROS by the definitions of
Humble that rosbags brings; they have not changed since.
"""

from mambapose_ros.bags.camera_stream import CameraStream
from mambapose_ros.bags.cameras import CameraTopics, find_cameras
from mambapose_ros.bags.errors import BagError
from mambapose_ros.bags.intrinsics import Intrinsics, read_intrinsics
from mambapose_ros.bags.message_types import MessageTypes
from mambapose_ros.bags.reader import BagReader, Recorded
from mambapose_ros.bags.writer import BagWriter

__all__ = [
    "BagError",
    "BagReader",
    "BagWriter",
    "CameraStream",
    "CameraTopics",
    "Intrinsics",
    "MessageTypes",
    "Recorded",
    "find_cameras",
    "read_intrinsics",
]
