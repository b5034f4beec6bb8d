"""The repository's own statements agree with each other, and the package is tested as installed."""

import re
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
