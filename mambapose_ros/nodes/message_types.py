"""rclpy's message classes by their names, for what makes messages of whatever library's classes."""

from __future__ import annotations

from types import SimpleNamespace

from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from mambapose_ros.msg import Joint3D, Keypoint2D, PersonKeypoints, PersonKeypointsArray, Skeleton, SkeletonArray

_CLASSES = (
    *(ColorRGBA, Duration, Header, Point, RegionOfInterest, Time),
    *(Joint3D, Keypoint2D, PersonKeypoints, PersonKeypointsArray, Skeleton, SkeletonArray),
    *(Marker, MarkerArray),
)

MESSAGE_TYPES = SimpleNamespace(**{message.__name__: message for message in _CLASSES})
