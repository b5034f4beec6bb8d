"""Quality of service of this package's topics (REP-2003)."""

from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

IMAGE_INPUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Matches every camera driver, reliable or not; one deep, because only the newest image is of use."""

CAMERA_INFO_INPUT = qos_profile_sensor_data

IMAGE_OUTPUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable, so that RViz and image_view, which ask for it, connect."""

RESULT_OUTPUT = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
