"""Parameter files and the RViz file say what the nodes do."""

import math
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.qos import ReliabilityPolicy

from mambapose_ros.errors import UserError
from mambapose_ros.nodes import (
    depth_node,
    flow_node,
    humans_node,
    keypoint_node,
    lifter_node,
    marker_node,
    pose_node,
    qos,
    source_node,
)
from mambapose_ros.nodes.rviz_config import rviz_arguments
from mambapose_ros.weights import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "config"
GRAPH = (keypoint_node, flow_node, depth_node, lifter_node, marker_node, humans_node)
FILES = {"mambapose": (pose_node,), "distributed": GRAPH}
SPECS = {
    module.__name__.rpartition(".")[2]: {spec.name: spec for spec in module.PARAMETERS}
    for module in (pose_node, *GRAPH)
}
EVERY = [
    (file, module.__name__.rpartition(".")[2], spec.name)
    for file, modules in FILES.items()
    for module in modules
    for spec in module.PARAMETERS
]
PRESETS = sorted(path.stem for path in CONFIG.glob("*.yaml") if path.stem not in FILES)


def sections(name: str) -> dict[str, dict]:
    """Node -> parameters of a file, as the node would take them."""
    content = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    assert list(content) == ["/**"]
    return {
        node: {key: SPECS[node][key].check(value) for key, value in section["ros__parameters"].items()}
        for node, section in content["/**"].items()
    }


def values(preset: str) -> dict:
    content = yaml.safe_load((CONFIG / f"{preset}.yaml").read_text())
    # By this name alone, which launch puts before others: of names that differ, the later would win.
    assert list(content) == ["/**"]
    assert list(content["/**"]) == ["ros__parameters"]
    return {key: SPECS["pose_node"][key].check(value) for key, value in content["/**"]["ros__parameters"].items()}


def comments(name: str, node: str) -> dict[str, str]:
    """Parameter -> the comment above it."""
    text = (CONFIG / f"{name}.yaml").read_text().split(f"\n  {node}:", 1)[1]
    section = re.split(r"\n  \w", text, maxsplit=1)[0]
    found = re.findall(r"((?:^ +# .*\n)+) +(\w+): ", section, re.MULTILINE)
    return {name: re.sub(r"\s*# ", " ", comment) for comment, name in found}


@pytest.mark.parametrize(("name", "modules"), FILES.items())
def test_the_main_files_have_every_parameter_with_its_default(name, modules):
    nodes = [module.__name__.rpartition(".")[2] for module in modules]
    assert sections(name) == {node: {key: spec.default for key, spec in SPECS[node].items()} for node in nodes}


@pytest.mark.parametrize(("file", "node", "name"), EVERY)
def test_every_parameter_is_explained_with_what_it_may_be(file, node, name):
    comment, spec = comments(file, node)[name], SPECS[node][name]
    assert len(comment) > 15
    assert comment.startswith(" (*)") == spec.changeable
    for choice in spec.choices:
        assert re.search(rf"\b{re.escape(choice)}\b", comment), f"{choice} is missing in: {comment}"
    if spec.range is not None:
        assert "{:g}-{:g}".format(*spec.range) in comment, comment


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_allowed_values_that_differ_from_the_defaults(preset):
    assert values(preset)
    for name, value in values(preset).items():
        spec = SPECS["pose_node"][name]
        assert type(value) is type(spec.default)
        assert value != spec.default, f"{name} is the default already"
        assert not spec.choices or value in spec.choices
        assert spec.range is None or spec.range[0] <= value <= spec.range[1]


def rviz() -> dict:
    return yaml.safe_load((CONFIG / "mambapose.rviz").read_text())["Visualization Manager"]


def test_rviz_shows_the_topics_as_published():
    displays = {display["Class"].rpartition("/")[2]: display for display in rviz()["Displays"]}
    assert set(displays) == {"Grid", "TF", "MarkerArray", "Image"}
    assert all(display["Enabled"] for display in displays.values())
    profiles = {"MarkerArray": ("/markers", qos.RESULT_OUTPUT), "Image": ("/annotated", qos.IMAGE_OUTPUT)}
    for kind, (topic, profile) in profiles.items():
        asked = displays[kind]["Topic"]
        assert asked["Value"] == topic
        assert asked["Reliability Policy"] == "Best Effort" or profile.reliability == ReliabilityPolicy.RELIABLE
        assert asked["Durability Policy"] == "Volatile"


@pytest.fixture
def temporary_files_here(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def made(*arguments) -> dict:
    """The configuration that RViz is started with."""
    flag, file, *_ = rviz_arguments(CONFIG / "mambapose.rviz", *arguments)
    assert flag == "-d"
    return yaml.safe_load(Path(file).read_text())["Visualization Manager"]


@pytest.mark.usefixtures("temporary_files_here")
def test_rviz_shows_every_camera_in_one_window():
    assert made([""], "") == rviz()
    single, several = made(["/robot/"], ""), made(["front", "robot/rear"], "base_link")
    assert [d["Topic"]["Value"] for d in single["Displays"] if "Topic" in d] == ["/robot/markers", "/robot/annotated"]
    shown = {display["Name"]: display["Topic"]["Value"] for display in several["Displays"] if "Topic" in display}
    assert shown == {
        "Skeletons front": "/front/markers",
        "Skeletons robot/rear": "/robot/rear/markers",
        "Annotated front": "/front/annotated",
        "Annotated robot/rear": "/robot/rear/annotated",
    }
    for display in several["Displays"]:
        (template,) = [d for d in rviz()["Displays"] if display["Name"].startswith(d["Name"])]
        assert display.keys() == template.keys()
    assert several["Views"] == rviz()["Views"]


@pytest.mark.usefixtures("temporary_files_here")
def test_rviz_is_told_where_to_look_from():
    assert rviz_arguments(CONFIG / "mambapose.rviz", [""], "map")[2:] == ["-f", "map"]
    assert rviz_arguments(CONFIG / "mambapose.rviz", [""], "")[2:] == []
    with pytest.raises(UserError, match="fixed_frame: expected a frame of TF that all cameras are connected with"):
        rviz_arguments(CONFIG / "mambapose.rviz", ["front", "rear"], "")


def test_rviz_needs_no_transform():
    frame = next(spec.default for spec in source_node.PARAMETERS if spec.name == "frame_id")
    assert rviz()["Global Options"]["Fixed Frame"] == frame


def orbit(view: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where RViz's orbit view looks from, in which direction, and what it shows as up: it turns about the z axis."""
    pitch, yaw = view["Pitch"], view["Yaw"]
    away = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
    focal = np.array([view["Focal Point"][axis] for axis in "XYZ"])
    up = np.array([0.0, 0.0, 1.0]) - away[2] * away
    return focal + view["Distance"] * away, -away, up / np.linalg.norm(up)


def test_views_of_the_optical_frame_show_people_upright_and_whole():
    views = [rviz()["Views"]["Current"], *rviz()["Views"]["Saved"][:1]]
    for view in views:
        eye, direction, up = orbit(view)
        assert up @ (0.0, -1.0, 0.0) > 0.85  # an optical frame's y points down
        assert direction[2] > 0.85  # forward, as the camera looks
        assert eye[1] <= 0.01  # from the camera's height or above
        for corner in [(-0.5, -1.0, 4.0), (0.5, 0.9, 4.0)]:  # a person 4 m away
            seen = (np.array(corner) - eye) / np.linalg.norm(np.array(corner) - eye)
            assert math.degrees(math.acos(seen @ direction)) < 22.5  # RViz opens 45 degrees high


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_say_which_models_to_download_first(preset):
    asked = re.search(r"^#   mambapose download (.+)$", (CONFIG / f"{preset}.yaml").read_text(), re.MULTILINE)
    names = set(asked[1].split()) if asked else set()
    assert names <= set(MODELS)
    used = {str(value).replace("_", "-") for value in values(preset).values()}
    assert {name for name in used & set(MODELS) if not MODELS[name].shipped} <= names
    assert ("vitpose" in used) == any(name.startswith("vitpose") for name in names)
