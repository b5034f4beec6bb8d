"""Detectors that are made for another number of people are closed, whatever becomes of them."""

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from mambapose_ros.nodes import keypoint_node
from mambapose_ros.nodes.keypoint_node import KeypointNode
from mambapose_ros.nodes.pose_node import PoseNode
from mambapose_ros.perception import pipeline


class Detector:
    """One that finds nobody."""

    def __init__(self) -> None:
        self.closed = False

    def reset(self) -> None:
        pass

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@pytest.fixture
def make_node(nodes_of_the_test):
    def make(kind: type, **values):
        node = kind(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
        nodes_of_the_test.append(node)
        return node

    return make


@pytest.fixture
def detectors(monkeypatch):
    """All that are made."""
    made: list[Detector] = []

    def make(*_, **__) -> Detector:
        made.append(Detector())
        return made[-1]

    monkeypatch.setattr(pipeline, "make_detector", make)
    monkeypatch.setattr(keypoint_node, "make_detector", make)
    return made


@pytest.mark.parametrize(("kind", "values"), [(PoseNode, {"weights": ""}), (KeypointNode, {})])
def test_a_detector_that_was_never_used_is_closed_on_cleanup(make_node, detectors, kind, values):
    node = make_node(kind, **values)
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.set_parameters([Parameter("max_people", value=2)])[0].successful
        assert node.set_parameters([Parameter("max_people", value=3)])[0].successful
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert [detector.closed for detector in detectors] == [True] * 6


def test_none_is_left_open_when_another_stage_cannot_be_made(make_node, detectors):
    node = make_node(PoseNode, weights="", flow_weights="/nowhere")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    changes = [Parameter("max_people", value=2), Parameter("flow", value="raft_small")]
    result = node.set_parameters_atomically(changes)
    assert "no weights '/nowhere'" in result.reason
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert detectors
    assert all(detector.closed for detector in detectors)
