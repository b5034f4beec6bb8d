"""Installs the ROS-free part with pip; with ROS, colcon builds the package (CMakeLists.txt)."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

# package.xml is the one place that states the version.
version = ElementTree.parse(Path(__file__).parent / "package.xml").findtext("version")

setup(version=version, packages=find_packages(include=["mambapose_ros", "mambapose_ros.*"]))
