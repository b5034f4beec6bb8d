"""Metric 3D human skeletons for ROS 2 robots from one RGB camera."""

# In a checkout this folder hides the generated mambapose_ros.msg of the install space; merge the two.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
