"""The repository's own statements agree with each other, and the package is tested as installed."""

import ast
import os
import platform
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest

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
