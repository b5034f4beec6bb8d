"""Launched nodes talk on this machine only, in a domain that no other test run uses."""

import os

from mambapose_ros.nodes.localhost import stay_on_this_machine

# 0-101 are safe on every platform; 0 is everybody's.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
stay_on_this_machine(os.environ)
