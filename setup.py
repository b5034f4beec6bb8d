"""Installs the ROS-free part with pip; with ROS, colcon builds the package (CMakeLists.txt)."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import Extension, find_packages, setup

# package.xml is the one place that states the version.
version = ElementTree.parse(Path(__file__).parent / "package.xml").findtext("version")

scan_kernels = Extension(
    "mambapose_ros.ops._selective_scan",
    sources=["mambapose_ros/native/selective_scan.cpp"],
    depends=["mambapose_ros/native/selective_scan.h"],
    language="c++",
    extra_compile_args=["-std=c++17", "-O3", "-fopenmp", "-Wno-psabi", "-Wno-maybe-uninitialized"],
    extra_link_args=["-fopenmp"],
    optional=True,  # without a compiler the torch backend takes over, with a warning
)

setup(
    version=version,
    packages=find_packages(include=["mambapose_ros", "mambapose_ros.*"]),
    ext_modules=[scan_kernels],
    package_data={"mambapose_ros.weights": ["*.safetensors", "*.md"]},
    # `mambapose bag` writes messages without ROS; colcon installs them to the same place.
    data_files=[("share/mambapose_ros/msg", sorted(str(path) for path in Path("msg").glob("*.msg")))],
    include_package_data=False,  # the sources of the kernels are for the sdist
)
