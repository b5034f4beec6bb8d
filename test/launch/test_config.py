"""Parameter files and the RViz file say what the nodes do."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.qos import ReliabilityPolicy

from mambapose_ros.nodes import pose_node, qos, source_node
from mambapose_ros.weights import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "config"
SPECS = {spec.name: spec for spec in pose_node.PARAMETERS}
PRESETS = sorted(path.stem for path in CONFIG.glob("*.yaml") if path.stem != "mambapose")


def values(name: str) -> dict:
    content = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    assert list(content) == ["/**"]
    assert list(content["/**"]) == ["pose_node"]
    return content["/**"]["pose_node"]["ros__parameters"]


def comments() -> dict[str, str]:
    """Parameter -> the comment above it."""
    text = (CONFIG / "mambapose.yaml").read_text()
    found = re.findall(r"((?:^ +# .*\n)+) +(\w+): ", text, re.MULTILINE)
    return {name: re.sub(r"\s*# ", " ", comment) for comment, name in found}


def test_the_main_file_has_every_parameter_with_its_default():
    told = values("mambapose")
    assert told == {name: spec.default for name, spec in SPECS.items()}
    assert {name: type(value) for name, value in told.items()} == {name: type(s.default) for name, s in SPECS.items()}


@pytest.mark.parametrize("name", SPECS)
def test_every_parameter_is_explained_with_what_it_may_be(name):
    comment, spec = comments()[name], SPECS[name]
    assert len(comment) > 15
    for choice in spec.choices:
        assert re.search(rf"\b{re.escape(choice)}\b", comment), f"{choice} is missing in: {comment}"
    if spec.range is not None:
        assert "{:g}-{:g}".format(*spec.range) in comment, comment


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_allowed_values_that_differ_from_the_defaults(preset):
    assert values(preset)
    for name, value in values(preset).items():
        spec = SPECS[name]
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
    assert used & set(MODELS) <= names
    assert ("vitpose" in used) == any(name.startswith("vitpose") for name in names)
