import numpy as np
import pytest

from mambapose_ros.nodes.aligned_depth import AlignedDepth
from mambapose_ros.nodes.conversions import stamp_to_ns
from mambapose_ros.nodes.dense_maps import depth_from_image
from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import DepthMap, Frame, FrameResult, LiftedFrame, Skeleton3D

SCENE = SyntheticScene(motion="idle", people=1, seed=0, width=160, height=120, fps=30.0)
TRUTHS = [SCENE.render(i) for i in range(4)]


def result(index: int, *, metric: bool, lifted: int | None = None, reset_reason: str = "") -> FrameResult:
    """Of one image; inverse depth is the true one times 3."""
    truth = TRUTHS[index]
    frame = Frame(1000 * index, "optical", truth.image, truth.camera)
    values = truth.depth if metric else 3.0 / truth.depth
    depth = DepthMap(np.asarray(values, np.float32), metric, "a network")
    return FrameResult(
        frame=frame,
        keypoints=(),
        flow=None,
        depth=depth,
        lifted=None if lifted is None else people(lifted),
        reset_reason=reset_reason,
    )


def people(index: int) -> LiftedFrame:
    person = Skeleton3D("p1", TRUTHS[index].joints[0], np.ones(17), "learned")
    return LiftedFrame(1000 * index, "optical", TRUTHS[index].camera, (), (person,))


def test_metric_depth_needs_nobody():
    message = AlignedDepth(0)(result(1, metric=True))
    assert stamp_to_ns(message.header.stamp) == 1000
    np.testing.assert_allclose(depth_from_image(message), TRUTHS[1].depth, rtol=1e-6)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_relative_depth_is_of_the_image_whose_people_are_known(lookahead):
    aligned = AlignedDepth(lookahead)
    for index in range(lookahead):
        assert aligned(result(index, metric=False)) is None
    message = aligned(result(lookahead, metric=False, lifted=0))
    assert stamp_to_ns(message.header.stamp) == 0
    x, y = (round(float(v)) for v in TRUTHS[0].keypoints[0][0])
    skin = TRUTHS[0].joints[0, 0, 2] - JOINT_RADIUS_M[0]
    assert depth_from_image(message)[y, x] == pytest.approx(skin, rel=0.1)


def test_nothing_is_said_without_depth_or_people():
    aligned = AlignedDepth(0)
    assert aligned(result(0, metric=False)) is None
    assert aligned(FrameResult(frame=result(0, metric=True).frame, keypoints=(), flow=None)) is None


def test_what_does_not_follow_starts_anew():
    aligned = AlignedDepth(1)
    aligned(result(0, metric=False))
    assert aligned(result(1, metric=False, lifted=0, reset_reason="gap between stamps")) is None
