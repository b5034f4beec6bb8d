import colorsys
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.bags import MessageTypes
from mambapose_ros.markers import MIN_OPACITY, SkeletonMarkers, color_of
from mambapose_ros.skeleton import BONES, JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS

TYPES = MessageTypes()
Marker, Skeleton = TYPES.Marker, TYPES.Skeleton
KINDS = ("joints", "bones", "name")
NAN = (math.nan,) * 3

# A standing person in an optical frame (y down), 4 m away; only what the tests look at is where it is on a body.
STANDING = np.column_stack([0.1 * np.arange(NUM_JOINTS), np.linspace(0.9, -0.5, NUM_JOINTS), np.full(NUM_JOINTS, 4.0)])
STANDING[JOINT_INDEX["pelvis"]], STANDING[JOINT_INDEX["head"]] = (0.0, 0.2, 4.0), (0.0, -0.6, 4.0)


def message(people, names=JOINT_NAMES, parents=PARENTS, nanosec=500_000_000, frame="optical"):
    """SkeletonArray of ``people``: id -> positions, or (positions, confidence, tracking_state)."""
    header = TYPES.Header(stamp=TYPES.Time(sec=1, nanosec=nanosec), frame_id=frame)
    made = TYPES.SkeletonArray(header=header, joint_names=names, parents=parents)
    for name, given_values in people.items():
        positions, confidence, state = (
            given_values if isinstance(given_values, tuple) else (given_values, None, Skeleton.TRACKING_TRACKED)
        )
        confidence = np.ones(len(positions)) if confidence is None else confidence
        skeleton = Skeleton(id=name, tracking_state=state)
        for position, value in zip(positions, confidence, strict=True):
            joint = TYPES.Joint3D(confidence=float(value))
            joint.position.x, joint.position.y, joint.position.z = map(float, position)
            skeleton.joints.append(joint)
        made.skeletons.append(skeleton)
    return made


def by_namespace(markers, action=Marker.ADD) -> dict:
    chosen = [marker for marker in markers.markers if marker.action == action]
    assert len({marker.ns for marker in chosen}) == len(chosen)
    assert all(marker.id == 0 for marker in chosen)
    return {marker.ns: marker for marker in chosen}


def points(marker) -> np.ndarray:
    return np.array([(point.x, point.y, point.z) for point in marker.points])


def test_a_person_is_joints_bones_and_a_name():
    markers = by_namespace(SkeletonMarkers(TYPES)(message({"p1": STANDING})))
    assert set(markers) == {f"p1/{kind}" for kind in KINDS}
    joints, bones, name = (markers[f"p1/{kind}"] for kind in KINDS)
    assert (joints.type, bones.type, name.type) == (Marker.SPHERE_LIST, Marker.LINE_LIST, Marker.TEXT_VIEW_FACING)
    np.testing.assert_allclose(points(joints), STANDING)
    np.testing.assert_allclose(points(bones).reshape(-1, 2, 3), STANDING[np.array(BONES)])
    assert name.text == "p1"
    for marker in markers.values():
        assert marker.header.frame_id == "optical"
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (1, 500_000_000)
        assert marker.pose.orientation.w == 1.0
        assert marker.color.a == 1.0
    assert joints.scale.x == joints.scale.y == joints.scale.z > 0.0
    assert bones.scale.x > 0.0
    assert name.scale.z > 0.0


@pytest.mark.parametrize("up", [(0.0, -1.0, 0.0), (0.0, 0.0, 1.0)], ids=["optical frame", "z-up frame"])
def test_the_name_is_above_the_head_in_any_frame(up):
    head = np.array([1.0, 2.0, 3.0])
    body = np.full((NUM_JOINTS, 3), np.nan)
    body[JOINT_INDEX["head"]], body[0] = head, head - 0.7 * np.array(up)
    place = by_namespace(SkeletonMarkers(TYPES)(message({"p1": body})))["p1/name"].pose.position
    offset = np.array([place.x, place.y, place.z]) - head
    assert offset @ up == pytest.approx(0.25, abs=1e-9)
    assert np.linalg.norm(np.cross(offset, up)) < 1e-9


@pytest.mark.parametrize("missing", [["head"], ["pelvis"], ["head", "pelvis"]])
def test_without_head_or_root_the_name_is_still_at_the_person(missing):
    body = STANDING.copy()
    body[[JOINT_INDEX[name] for name in missing]] = np.nan
    place = by_namespace(SkeletonMarkers(TYPES)(message({"p1": body})))["p1/name"].pose.position
    assert np.linalg.norm(np.array([place.x, place.y, place.z]) - np.nanmean(body, axis=0)) < 1.2


def test_opacity_is_confidence_of_joints_and_of_the_ends_of_bones():
    confidence = np.linspace(0.2, 1.0, NUM_JOINTS)
    confidence[3], confidence[5] = 0.0, math.nan
    markers = by_namespace(SkeletonMarkers(TYPES)(message({"p1": (STANDING, confidence, Skeleton.TRACKING_TRACKED)})))
    expected = np.clip(np.nan_to_num(confidence), MIN_OPACITY, 1.0)
    np.testing.assert_allclose([color.a for color in markers["p1/joints"].colors], expected, atol=1e-6)
    ends = np.array(BONES).reshape(-1)
    np.testing.assert_allclose([color.a for color in markers["p1/bones"].colors], expected[ends], atol=1e-6)


def test_missing_joints_and_their_bones_are_left_out():
    body = STANDING.copy()
    body[JOINT_INDEX["left_knee"]] = np.nan
    markers = by_namespace(SkeletonMarkers(TYPES)(message({"p1": body})))
    assert len(markers["p1/joints"].points) == len(markers["p1/joints"].colors) == NUM_JOINTS - 1
    assert len(markers["p1/bones"].points) == len(markers["p1/bones"].colors) == 2 * (len(BONES) - 2)
    assert np.isfinite(points(markers["p1/bones"])).all()


def test_colours_belong_to_ids():
    markers = by_namespace(SkeletonMarkers(TYPES)(message({"p1": STANDING, "p2": STANDING})))
    for kind in ("joints", "bones"):
        for name in ("p1", "p2"):
            colors = {(color.r, color.g, color.b) for color in markers[f"{name}/{kind}"].colors}
            assert len(colors) == 1
            assert colors.pop() == pytest.approx(color_of(name), abs=1e-6)


def test_colours_are_the_same_in_every_process():
    code = "from mambapose_ros.markers import color_of; print(color_of('p7'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(color_of("p7"))


@given(st.integers(0, 10**8))
def test_eight_people_in_a_row_are_told_apart(first):
    hues = [colorsys.rgb_to_hsv(*color_of(f"p{first + i}"))[0] for i in range(8)]
    distance = min(min(abs(a - b), 1 - abs(a - b)) for a, b in itertools.combinations(hues, 2))
    assert distance > 0.05  # 18 degrees of the colour wheel


def test_people_who_left_are_deleted_once():
    markers = SkeletonMarkers(TYPES)
    markers(message({"p1": STANDING, "p2": STANDING}))
    after = markers(message({"p2": STANDING}, nanosec=600_000_000))
    assert set(by_namespace(after, Marker.DELETE)) == {f"p1/{kind}" for kind in KINDS}
    assert set(by_namespace(after)) == {f"p2/{kind}" for kind in KINDS}
    assert all(marker.header.frame_id == "optical" for marker in after.markers)
    empty = markers(message({}))
    assert set(by_namespace(empty, Marker.DELETE)) == {f"p2/{kind}" for kind in KINDS}
    assert len(empty.markers) == 3
    assert not markers(message({})).markers


def test_a_lost_person_is_deleted_and_one_without_joints_too():
    markers = SkeletonMarkers(TYPES)
    markers(message({"p1": STANDING, "p2": STANDING}))
    nowhere = np.full((NUM_JOINTS, 3), np.nan)
    after = markers(message({"p1": (STANDING, None, Skeleton.TRACKING_LOST), "p2": nowhere}))
    assert not by_namespace(after)
    assert set(by_namespace(after, Marker.DELETE)) == {f"{name}/{kind}" for name in ("p1", "p2") for kind in KINDS}


def test_bones_that_vanish_are_deleted():
    markers = SkeletonMarkers(TYPES)
    markers(message({"p1": STANDING}))
    only_head = np.full((NUM_JOINTS, 3), np.nan)
    only_head[JOINT_INDEX["head"]] = STANDING[JOINT_INDEX["head"]]
    after = markers(message({"p1": only_head}))
    assert set(by_namespace(after, Marker.DELETE)) == {"p1/bones"}
    assert set(by_namespace(after)) == {"p1/joints", "p1/name"}


def test_everything_that_is_shown_ends_by_itself():
    for marker in SkeletonMarkers(TYPES, lifetime_s=1.25)(message({"p1": STANDING})).markers:
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 250_000_000)


trees = st.integers(1, 30).flatmap(
    lambda count: st.tuples(*[st.just(-1)], *[st.integers(0, i - 1) for i in range(1, count)])
)


@given(trees, st.data())
def test_any_skeleton_can_be_shown(parents, data):
    coordinate = st.floats(-1e3, 1e3, width=32) | st.just(math.nan)
    body = np.array(data.draw(st.lists(st.tuples(*[coordinate] * 3), min_size=len(parents), max_size=len(parents))))
    names = [f"j{i}" for i in range(len(parents))]
    markers = by_namespace(SkeletonMarkers(TYPES)(message({"x": body}, names, parents)))
    present = np.isfinite(body).all(axis=1)
    bones = sum(present[i] and parent >= 0 and present[parent] for i, parent in enumerate(parents))
    assert len(markers["x/joints"].points if "x/joints" in markers else []) == present.sum()
    assert len(markers["x/bones"].points if "x/bones" in markers else []) == 2 * bones
    assert ("x/name" in markers) == present.any()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (message({"p1": STANDING}, parents=PARENTS[:-1]), "one parent per joint name, got 16 for 17"),
        (message({"p1": STANDING}, parents=(*PARENTS[:-1], 17)), "parents from 0 to 16"),
        (message({"p1": STANDING}, parents=(0, *PARENTS[1:])), "-1 at the root"),
        (message({"p1": STANDING[:5]}), "expected 17 joints of 'p1', one per joint name, got 5"),
    ],
)
def test_messages_that_contradict_themselves_are_refused(broken, complaint):
    with pytest.raises(ValueError, match=complaint):
        SkeletonMarkers(TYPES)(broken)


def test_two_people_of_one_id_are_refused():
    twice = message({"p1": STANDING})
    twice.skeletons.append(twice.skeletons[0])
    with pytest.raises(ValueError, match="one skeleton per id"):
        SkeletonMarkers(TYPES)(twice)
