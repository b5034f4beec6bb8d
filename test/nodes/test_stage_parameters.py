"""The nodes of single stages set them up as their parameters say."""

import pytest

from mambapose_ros.errors import UserError
from mambapose_ros.nodes.depth_node import DepthNode
from mambapose_ros.nodes.flow_node import FlowNode
from mambapose_ros.nodes.keypoint_node import KeypointNode
from mambapose_ros.nodes.pose_node import PARAMETERS
from mambapose_ros.perception import PipelineOptions


@pytest.fixture
def make():
    made = []

    def node(kind):
        made.append(kind())
        return made[-1]

    yield node
    for each in made:
        each.close()
        each.destroy_node()


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (KeypointNode, {"detector": "keypoint_rcnn", "detector_weights": "nowhere"}, "no weights 'nowhere'"),
        (KeypointNode, {"detector": "vitpose", "detector_weights": ".", "finder_weights": "there"}, "'there'"),
        (FlowNode, {"flow": "raft_small", "flow_weights": "nowhere"}, "no weights 'nowhere'"),
        (FlowNode, {"flow_width": 8}, "flow width of 16 pixels or more, got 8"),
        (DepthNode, {"depth_weights": "nowhere"}, "no weights 'nowhere'"),
    ],
)
def test_what_is_given_is_used(make, kind, values, expected):
    node = make(kind)
    assert set(values) <= set(node.parameters)
    with pytest.raises((UserError, ValueError), match=expected):
        node.make_stage({**node.parameters, **values}, "cpu")


def test_the_pipeline_of_pose_node_has_every_option():
    names = {spec.name for spec in PARAMETERS}
    assert set(vars(PipelineOptions())) <= names
    assert {spec.name: spec.default for spec in PARAMETERS if spec.name in vars(PipelineOptions())} == vars(
        PipelineOptions()
    )
