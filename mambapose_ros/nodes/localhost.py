"""Keeping ROS traffic on this machine, with room for large images."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory


def stay_on_this_machine(environment: MutableMapping[str, str]) -> None:
    """Set the variables that keep the nodes of this process and its children on this machine.

    With Fast DDS, ROS's usual middleware, ``config/fastdds_localhost.xml`` also makes shared memory large enough for
    raw images; variables that the user has set stay.
    """
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        if environment.get("ROS_DISTRO") == "humble":  # it does not know the other one, which replaced this
            environment.setdefault("ROS_LOCALHOST_ONLY", "1")
        return
    profiles = Path(get_package_share_directory("mambapose_ros")) / "config" / "fastdds_localhost.xml"
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
    # The name changed with Fast DDS 3, which complains about the old one; before, nobody reads the new one.
    renamed = environment.get("ROS_DISTRO") not in ("humble", "iron", "jazzy")
    variable = "FASTDDS_DEFAULT_PROFILES_FILE" if renamed else "FASTRTPS_DEFAULT_PROFILES_FILE"
    environment.setdefault(variable, str(profiles))
