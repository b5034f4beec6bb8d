"""hri_msgs for machines without it: the four messages that humans_node uses, generated and compiled by colcon.

Field names and types are those of github.com/ros4hri/hri_msgs, whose package is used where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_MESSAGES = {
    "IdsList": "std_msgs/Header header\nstring[] ids\n",
    "NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c\n",
    "NormalizedRegionOfInterest2D": "std_msgs/Header header\n"
    + "".join(f"float32 {name}\n" for name in ("xmin", "ymin", "xmax", "ymax", "c")),
    "Skeleton2D": "std_msgs/Header header\nhri_msgs/NormalizedPointOfInterest2D[18] skeleton\n",
}

_CMAKE = f"""
cmake_minimum_required(VERSION 3.16)
project(hri_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
include({ROOT}/cmake/drop_include_folders.cmake)
foreach(dependency std_msgs builtin_interfaces service_msgs)
  drop_include_folders(${{dependency}}::${{dependency}}__rosidl_generator_py /opt/python)
endforeach()
rosidl_generate_interfaces(${{PROJECT_NAME}} {" ".join(f"msg/{name}.msg" for name in _MESSAGES)} DEPENDENCIES std_msgs)
ament_package()
"""

_PACKAGE = """
<package format="3">
  <name>hri_msgs</name>
  <version>2.0.0</version>
  <description>Of a test.</description>
  <maintainer email="maintainers@mambapose.example">mambapose_ros maintainers</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


class BuildError(Exception):
    """The messages cannot be built here; the message says why."""


def build(workspace: Path) -> dict[str, str]:
    """Build the package below an empty folder.

    Returns:
        Environment variables, and what has to be put in front of each so that the package is found.

    Raises:
        BuildError: when a tool is missing, or fails.
    """
    if shutil.which("colcon") is None:
        raise BuildError("colcon is not installed")
    package = workspace / "src" / "hri_msgs"
    (package / "msg").mkdir(parents=True)
    for name, text in _MESSAGES.items():
        (package / "msg" / f"{name}.msg").write_text(text)
    (package / "CMakeLists.txt").write_text(_CMAKE)
    (package / "package.xml").write_text(_PACKAGE)
    prefix = workspace / "install" / "hri_msgs"
    command = ["colcon", "--log-base", "log", "build", "--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}"]
    # With the run path in them, the libraries find each other in a process that has already started.
    command += ["-DBUILD_TESTING=OFF", f"-DCMAKE_INSTALL_RPATH={prefix / 'lib'}"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise BuildError(f"colcon build failed: {done.stderr.strip().splitlines()[-1:]}")
    (modules,) = prefix.glob("**/*-packages")
    return {
        "PYTHONPATH": str(modules),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        "AMENT_PREFIX_PATH": str(prefix),
    }


def prepend(variable: str, value: str) -> str:
    """The value of an environment variable with something in front."""
    return value + os.pathsep + os.environ.get(variable, "")
