"""What is made of rclpy's classes equals what is made of those that bags are written with."""

import numpy as np
from bag_samples import FRAME, TYPES, random_people, random_skeletons
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import Marker, MarkerArray

from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.messages import keypoints_message, skeletons_message
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.types import Skeleton3D


def through_bytes(message):
    """As a subscriber gets it."""
    return deserialize_message(serialize_message(message), type(message))


def test_keypoints_and_skeletons_are_the_same():
    rng = np.random.default_rng(2)
    people, skeletons = random_people(rng), random_skeletons(rng)
    for make, arguments in ((keypoints_message, (people,)), (skeletons_message, (skeletons, people))):
        by_rclpy, for_bags = (make(types, FRAME, *arguments) for types in (MESSAGE_TYPES, TYPES))
        data = bytes(TYPES.write(for_bags))
        # Compared as text, since NaN differs from itself; and read from bytes, since those have float32.
        assert str(deserialize_message(data, type(by_rclpy))) == str(through_bytes(by_rclpy))


def test_markers_are_the_same_while_people_come_and_go():
    rng = np.random.default_rng(5)
    plain, rich = random_skeletons(rng)
    lost = Skeleton3D("p0", np.full((17, 3), np.nan), np.zeros(17), "none", state="lost")
    draw_by_rclpy, draw_for_bags = SkeletonMarkers(MESSAGE_TYPES), SkeletonMarkers(TYPES)
    actions = []
    for skeletons in ((plain,), (plain, rich), (lost, rich), (), (rich,)):
        by_rclpy = draw_by_rclpy(skeletons_message(MESSAGE_TYPES, FRAME, skeletons))
        for_bags = draw_for_bags(skeletons_message(TYPES, FRAME, skeletons))
        assert deserialize_message(bytes(TYPES.write(for_bags)), MarkerArray) == through_bytes(by_rclpy)
        actions.append([marker.action for marker in by_rclpy.markers])
    add, delete = [Marker.ADD] * 3, [Marker.DELETE] * 3
    assert actions == [add, add + add, delete + add, delete, add]
