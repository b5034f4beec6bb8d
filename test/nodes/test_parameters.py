"""Parameters come as they are meant, and what the README says of them is what the nodes declare."""

import re
from pathlib import Path

import pytest
import rclpy

from mambapose_ros.nodes import depth_node, flow_node, keypoint_node, lifter_node, marker_node, pose_node, source_node
from mambapose_ros.nodes.parameters import ParameterError, ParameterSpec, declare_parameters

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def table_of(node: str) -> dict[str, str]:
    """Parameter -> default, of the README's table for a node."""
    section = README.split(f"\n`{node}`:\n\n| parameter")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*) \|", section, re.MULTILINE)
    return {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}


def table_of_the_graph(node: str) -> dict[str, str]:
    """Parameter -> default, of what the README's table of all stages says of one."""
    section = README.split("\nThe graph; ")[1].split("\n\n")[1]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*) \| ([^|]*) \|", section, re.MULTILINE)
    return {
        name: default
        for names, defaults, nodes in rows
        if nodes == "all" or node.removesuffix("_node") in nodes.split(", ")
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
    }


def shown(value) -> str:
    return "(empty)" if value == "" else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("name", "node"), [("pose_node", pose_node), ("source_node", source_node)])
def test_readme_lists_every_parameter_with_its_default(name, node):
    assert table_of(name) == {spec.name: shown(spec.default) for spec in node.PARAMETERS}


GRAPH = (keypoint_node, flow_node, depth_node, lifter_node, marker_node)


@pytest.mark.parametrize("node", GRAPH, ids=lambda node: node.__name__)
def test_readme_lists_every_parameter_of_the_graph_with_its_default(node):
    told = table_of_the_graph(node.__name__.rpartition(".")[2])
    assert told == {spec.name: shown(spec.default) for spec in node.PARAMETERS}


def test_readme_marks_the_parameters_of_the_graph_that_may_change():
    section = README.split("\nThe graph; ")[1].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)` \(\\\*\)", section)) == {
        s.name for n in GRAPH for s in n.PARAMETERS if s.changeable
    }


@pytest.mark.parametrize("node", [pose_node, source_node, *GRAPH], ids=lambda node: node.__name__)
def test_every_parameter_is_described(node):
    assert all(len(spec.description) > 10 for spec in node.PARAMETERS)


SWITCHES = (
    ParameterSpec("flow", "dis", "optical flow", choices=("dis", "off"), changeable=True),
    ParameterSpec("depth", "off", "depth", choices=("sensor", "off")),
    ParameterSpec("detector", "mediapipe", "front end", choices=("mediapipe", "vitpose")),
)


def declared(*arguments: str) -> dict:
    """What a node makes of its command line."""
    node = rclpy.create_node("switches", cli_args=["--ros-args", *arguments])
    try:
        return declare_parameters(node, SWITCHES)
    finally:
        node.destroy_node()


@pytest.mark.parametrize("value", ["off", "'off'", "false"])
def test_off_needs_no_quotes(tmp_path, value):
    """YAML reads the bare word as false."""
    file = tmp_path / "own.yaml"
    file.write_text(f"switches:\n  ros__parameters:\n    flow: {value}\n    depth: {value}\n")
    expected = {"flow": "off", "depth": "off", "detector": "mediapipe"}
    assert declared("--params-file", str(file)) == expected
    assert declared("-p", f"flow:={value}", "-p", f"depth:={value}") == expected


def test_false_stands_for_nothing_else():
    with pytest.raises(ParameterError, match=r"detector: .*expected one of mediapipe, vitpose"):
        declared("-p", "detector:=off")
    with pytest.raises(ParameterError, match="depth: got True; expected one of sensor, off"):
        declared("-p", "depth:=on")


@pytest.mark.parametrize("value", ["robot-1_", 2, "_front", "a__b", "1st_"])
def test_ids_that_could_not_be_part_of_topics_are_refused(value):
    spec = next(spec for spec in pose_node.PARAMETERS if spec.name == "id_prefix")
    with pytest.raises(ParameterError, match="expected letters, digits and single _, a letter first, for example"):
        spec.check(value)
    assert [spec.check(good) for good in ("", "front_", "robot_2_front_", "a")] == ["", "front_", "robot_2_front_", "a"]


@pytest.mark.parametrize("name", ["image.subscription.depth", "/image.subscriber.depth", "/image.subscription.dept"])
def test_quality_of_service_of_no_topic_is_warned_of(capfd, name):
    declared("-p", f"qos_overrides.{name}:=2", "-p", "qos_overrides./camera/image.publisher.durability:=volatile")
    told = capfd.readouterr().err
    assert f"qos_overrides.{name} is not one of this node's and has no effect; expected qos_overrides.<full" in told
    assert told.count("has no effect") == 1
