import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mambapose_ros

PACKAGE = Path(mambapose_ros.__file__).parent
ROS_MODULES = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_ros",
    "visualization_msgs",
}


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_ros(module: str) -> bool:
    top = module.partition(".")[0]
    return top in ROS_MODULES or top.endswith(("_msgs", "_srvs")) or f"{module}.".startswith("mambapose_ros.msg.")


def test_only_nodes_know_ros():
    generated = PACKAGE / "msg"
    offenders = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "nodes" not in path.parents and generated not in path.parents
        for name in imported_modules(path)
        if is_ros(name)
    }
    assert not offenders


def test_the_check_finds_ros_where_it_is():
    assert {"rclpy.lifecycle", "rclpy.qos"} <= imported_modules(PACKAGE / "nodes" / "managed_node.py")
    assert "mambapose_ros.msg" in imported_modules(PACKAGE / "nodes" / "conversions.py")


@pytest.mark.parametrize(
    "module",
    [
        "mambapose_ros",
        "mambapose_ros.skeleton",
        "mambapose_ros.geometry",
        "mambapose_ros.types",
        "mambapose_ros.ops",
        "mambapose_ros.models",
        "mambapose_ros.perception",
        "mambapose_ros.perception.pipeline",
        "mambapose_ros.sources",
        "mambapose_ros.messages",
        "mambapose_ros.markers",
        "mambapose_ros.bags",
        "mambapose_ros.cli.main",
    ],
)
def test_the_core_imports_without_heavy_libraries(module):
    code = f"import sys, {module}; print(*sorted({{'torch', 'cv2', 'mediapipe', 'scipy', 'rclpy'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""
