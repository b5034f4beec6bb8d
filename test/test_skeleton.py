import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.skeleton import (
    BLAZEPOSE_NAMES,
    BLAZEPOSE_TO_H36M,
    BONES,
    COCO_NAMES,
    COCO_TO_H36M,
    FLIP,
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT,
    PARENTS,
    RIGHT,
    coco_to_h36m,
    map_landmarks,
)

MAPPINGS = [(BLAZEPOSE_TO_H36M, BLAZEPOSE_NAMES), (COCO_TO_H36M, COCO_NAMES)]


def test_order_is_that_of_human36m():
    assert JOINT_NAMES[0] == "pelvis"
    assert [JOINT_NAMES[i] for i in (3, 6, 10, 13, 16)] == [
        "right_ankle",
        "left_ankle",
        "head",
        "left_wrist",
        "right_wrist",
    ]


def test_tree_has_one_root_and_parents_come_first():
    assert PARENTS[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(PARENTS) if joint)
    assert len(BONES) == 16


def test_flip_exchanges_sides_and_is_its_own_inverse():
    assert [FLIP[i] for i in FLIP] == list(range(17))
    assert tuple(FLIP[i] for i in RIGHT) == LEFT
    assert FLIP[JOINT_INDEX["head"]] == JOINT_INDEX["head"]


def test_flip_agrees_with_the_published_lists():
    assert [FLIP[i] for i in (4, 5, 6, 11, 12, 13)] == [1, 2, 3, 14, 15, 16]


@pytest.mark.parametrize(("matrix", "names"), MAPPINGS)
def test_limb_joints_are_the_landmarks_of_the_same_name(matrix, names):
    for joint in (*LEFT, *RIGHT):
        assert np.flatnonzero(matrix[joint]).tolist() == [names.index(JOINT_NAMES[joint])]


@pytest.mark.parametrize(("matrix", "names"), MAPPINGS)
def test_mapping_treats_left_and_right_alike(matrix, names):
    mirrored = [names.index(_other_side(name)) for name in names]
    np.testing.assert_allclose(matrix[list(FLIP)][:, mirrored], matrix, atol=1e-12)


@pytest.mark.parametrize(("matrix", "names"), MAPPINGS)
@given(
    scale=st.floats(0.1, 1000.0),
    angle=st.floats(-3.2, 3.2),
    shift=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
    seed=st.integers(0, 99),
)
def test_mapping_commutes_with_similarity_transforms(matrix, names, scale, angle, shift, seed):
    landmarks = np.random.default_rng(seed).normal(size=(len(names), 2))
    confidence = np.ones(len(names))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved, _ = map_landmarks(matrix, landmarks @ turn.T + shift, confidence)
    joints, _ = map_landmarks(matrix, landmarks, confidence)
    np.testing.assert_allclose(moved, joints @ turn.T + shift, atol=1e-9 * max(1.0, scale) + 1e-9 * 1e3)


def test_head_joints_lie_where_they_are_defined():
    """A face looking along -z: thorax 5 cm above the shoulders, neck 6 cm in front of the line thorax-head."""
    up, forward, left = np.array([0, -1, 0]), np.array([0, 0, -1]), np.array([1, 0, 0])
    head_joint = 0.28 * up
    places = {
        "nose": head_joint + 0.09 * forward - 0.05 * up,
        **{f"{s}_ear": head_joint - 0.035 * up + k * 0.075 * left for s, k in (("left", 1), ("right", -1))},
        **{f"{s}_shoulder": -0.06 * up + k * 0.18 * left for s, k in (("left", 1), ("right", -1))},
    }
    for name in BLAZEPOSE_NAMES:
        side = {"left": 1, "right": -1}.get(name.partition("_")[0], 0)
        if "eye" in name:
            places[name] = head_joint + 0.075 * forward - 0.01 * up + side * 0.03 * left
    places["mouth_left"] = head_joint + 0.075 * forward - 0.08 * up + 0.025 * left
    places["mouth_right"] = head_joint + 0.075 * forward - 0.08 * up - 0.025 * left
    landmarks = np.array([places.get(name, np.zeros(3)) for name in BLAZEPOSE_NAMES])
    joints, _ = map_landmarks(BLAZEPOSE_TO_H36M, landmarks, np.ones(33))
    np.testing.assert_allclose(joints[JOINT_INDEX["head"]], head_joint, atol=0.01)
    thorax = joints[JOINT_INDEX["thorax"]]
    np.testing.assert_allclose(thorax, 0.0, atol=0.01)
    expected_neck = 0.55 * thorax + 0.45 * head_joint + 0.06 * forward
    np.testing.assert_allclose(joints[JOINT_INDEX["neck"]], expected_neck, atol=0.015)


def test_a_joint_is_as_certain_as_its_least_certain_landmark():
    confidence = np.ones(33)
    confidence[BLAZEPOSE_NAMES.index("left_hip")] = 0.25
    _, joint_confidence = map_landmarks(BLAZEPOSE_TO_H36M, np.zeros((33, 2)), confidence)
    low = {JOINT_NAMES[i] for i in np.flatnonzero(joint_confidence == 0.25)}
    assert low == {"pelvis", "left_hip", "spine"}


def test_wrong_number_of_landmarks_is_named():
    with pytest.raises(ValueError, match="expected 33 landmarks"):
        map_landmarks(BLAZEPOSE_TO_H36M, np.zeros((17, 2)), np.ones(17))


def _other_side(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    return "_".join(swap.get(part, part) for part in name.split("_"))


def test_a_missing_landmark_takes_only_its_own_joints_with_it():
    landmarks, confidence = np.random.default_rng(0).uniform(0, 100, (17, 2)), np.full(17, 0.8)
    landmarks[COCO_NAMES.index("left_wrist")] = np.nan
    xy, sure = coco_to_h36m(landmarks, confidence)
    assert np.isnan(xy[JOINT_INDEX["left_wrist"]]).all()
    assert np.isfinite(np.delete(xy, JOINT_INDEX["left_wrist"], axis=0)).all()
    assert sure[JOINT_INDEX["left_wrist"]] == 0.0
