"""The repository's own statements agree with each other, and the package is tested as installed."""

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ament_index_python.packages import get_package_prefix

import mambapose_ros
from mambapose_ros.version import version

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = sorted((ROOT / "msg").glob("*.msg"))


def test_the_installed_package_is_tested():
    assert Path(mambapose_ros.__file__).resolve().parent != ROOT / "mambapose_ros"


def test_version_is_that_of_package_xml_and_stated_nowhere_else():
    manifest = ElementTree.parse(ROOT / "package.xml").findtext("version")
    assert version() == manifest
    assert f'"{manifest}"' not in (ROOT / "pyproject.toml").read_text()


def test_changelog_tells_of_the_version():
    assert re.search(rf"^({re.escape(version())}|Forthcoming)\b", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)


def test_every_message_is_built():
    listed = re.findall(r"msg/(\w+)\.msg", (ROOT / "CMakeLists.txt").read_text())
    assert sorted(listed) == [path.stem for path in MESSAGES]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_every_field_of_a_message_is_explained(path):
    for line in path.read_text().splitlines():
        if line and not line.lstrip().startswith("#"):
            assert "#" in line or path.name in ("PersonKeypointsArray.msg", "SkeletonArray.msg"), line


def test_every_dependency_of_a_message_is_declared():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in manifest.iter("depend")}
    used = {package for path in MESSAGES for package in re.findall(r"^(\w+)/", path.read_text(), re.MULTILINE)}
    assert used - {"mambapose_ros"} <= declared


# Import name -> rosdep key, of what is no ROS package.
KEYS = {
    "cv2": "python3-opencv",
    "mediapipe": "python3-mediapipe-pip",
    "numpy": "python3-numpy",
    "rich": "python3-rich",
    "tf2_ros": "tf2_ros_py",
    "scipy": "python3-scipy",
    "torch": "python3-torch",
    "torchvision": "python3-torchvision",
    "yaml": "python3-yaml",
}
OPTIONAL = {"cv_bridge", "hri_msgs"}  # used where it is installed; without it something else is, or the node says so


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"mambapose_ros"} - OPTIONAL


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("mambapose_ros/nodes/*.py"), *ROOT.glob("launch/*.py")]), ids=lambda path: path.name
)
def test_everything_that_the_ros_side_imports_is_declared(path):
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for tag in ("depend", "exec_depend") for element in manifest.iter(tag)}
    assert {KEYS.get(name, name) for name in imports_of(path)} <= declared


def test_every_node_with_a_main_is_installed_as_an_executable():
    listed = re.search(r"foreach\(node ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    nodes = ROOT / "mambapose_ros" / "nodes"
    assert sorted(listed) == sorted(path.stem for path in nodes.glob("*_node.py") if "def main(" in path.read_text())


def executable_that_ends_with(last: str) -> str:
    """The program of ``source_node`` up to where it would spin."""
    prefix = Path(pytest.importorskip("ament_index_python.packages").get_package_prefix("mambapose_ros"))
    program = (prefix / "lib" / "mambapose_ros" / "source_node").read_text()
    ending = program.replace("    sys.exit(main())", textwrap.indent(last, "    "))
    assert ending != program
    return ending


def test_a_nodes_process_has_no_threads_of_openblas():
    """They spin while they wait, and took a whole core beside ``source_node``'s work."""
    counting = executable_that_ends_with("import psutil; print(psutil.Process().num_threads())")
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    as_it_is, with_one = (
        subprocess.check_output([sys.executable, "-c", counting], env=environment | more, timeout=60)
        for more in ({}, {"OPENBLAS_NUM_THREADS": "1"})
    )
    assert as_it_is == with_one


COUNT_ARENAS = """
import ctypes
import threading
threading.Thread(target=lambda: bytearray(1000)).start()  # a thread more, as every model has
libc = ctypes.CDLL("libc.so.6")
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))  # malloc.h: one <heap> for each arena
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory arenas: expected glibc")
def test_a_nodes_threads_share_one_arena():
    """Those of rclpy start when it is imported; with arenas of their own a node grew by 9 % over loading models."""
    counting = executable_that_ends_with(COUNT_ARENAS)
    printed = subprocess.check_output([sys.executable, "-c", counting], text=True, timeout=60)
    assert printed.count("<heap ") == 1


def test_processes_that_a_command_starts_do_not_run_it_again():
    """``mambapose bench`` measures memory in such processes."""
    prefix = Path(pytest.importorskip("ament_index_python.packages").get_package_prefix("mambapose_ros"))
    read_again = f"import runpy; runpy.run_path({str(prefix / 'bin' / 'mambapose')!r}, run_name='__mp_main__')"
    ended = subprocess.run([sys.executable, "-c", read_again], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_others_build_against_the_messages(tmp_path):
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("a package that uses the messages: expected cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        textwrap.dedent("""
            cmake_minimum_required(VERSION 3.16)
            project(consumer CXX)
            find_package(mambapose_ros REQUIRED)
            add_executable(consumer main.cpp)
            target_compile_features(consumer PRIVATE cxx_std_17)
            target_link_libraries(consumer mambapose_ros::mambapose_ros__rosidl_typesupport_cpp)
        """)
    )
    (tmp_path / "main.cpp").write_text(
        textwrap.dedent("""
            #include <mambapose_ros/msg/skeleton_array.hpp>
            #include <rosidl_typesupport_cpp/message_type_support.hpp>
            int main() {
              mambapose_ros::msg::SkeletonArray people;
              people.skeletons.resize(1);
              people.skeletons[0].tracking_state = mambapose_ros::msg::Skeleton::TRACKING_LOST;
              using rosidl_typesupport_cpp::get_message_type_support_handle;
              return get_message_type_support_handle<mambapose_ros::msg::SkeletonArray>() == nullptr;
            }
        """)
    )
    for command in (
        [cmake, "-S", ".", "-B", "build", f"-DPython3_EXECUTABLE={sys.executable}"],
        [cmake, "--build", "build"],
        ["build/consumer"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_installation_works_without_the_sources(tmp_path):
    """Copied elsewhere, with nothing else of this package in the environment."""
    prefix = Path(get_package_prefix("mambapose_ros"))
    if not (prefix.parent / "local_setup.bash").is_file():
        pytest.skip("a copied installation: expected one of colcon's, a folder per package")
    copy = tmp_path / "install"
    shutil.copytree(prefix.parent, copy, symlinks=True)
    paths = ("PATH", "PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH")
    environment = dict(os.environ)
    for name in paths:
        kept = [path for path in environment.get(name, "").split(":") if path and not path.startswith(str(prefix))]
        environment[name] = ":".join(kept)

    def run(command: str) -> subprocess.CompletedProcess[str]:
        script = f"source {copy}/local_setup.bash && {command}"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    found = run("python3 -c 'import mambapose_ros; print(mambapose_ros.__file__)'")
    assert found.stdout.startswith(str(copy)), found.stderr
    lifted = run("mambapose run --source synthetic --detector ground_truth --seconds 0.2 --output found")
    assert lifted.returncode == 0, lifted.stderr
    assert json.loads((tmp_path / "found" / "summary.json").read_text())["rows_with_joints"] > 0
    node = run(f"{copy}/mambapose_ros/lib/mambapose_ros/source_node --ros-args -p source:=nowhere.mp4")
    assert node.returncode == 1
    assert "nowhere.mp4" in node.stderr
    assert str(ROOT / "mambapose_ros") not in lifted.stderr + node.stderr
