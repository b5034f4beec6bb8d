import json

import numpy as np
import pytest

from mambapose_ros.cli.main import main
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.training import calibration
from mambapose_ros.training.bvh import parse_bvh
from mambapose_ros.training.mocap import MocapError, MotionSequence, load_folder, select_split

LIMB = """JOINT {s}UpLeg {{ OFFSET {x} -5 0 CHANNELS 3 Zrotation Xrotation Yrotation
 JOINT {s}Leg {{ OFFSET 0 -42 0 CHANNELS 3 Zrotation Xrotation Yrotation
  JOINT {s}Foot {{ OFFSET 0 -41 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site {{ OFFSET 0 -8 15 }} }} }} }}"""
ARM = """JOINT {s}Shoulder {{ OFFSET {x} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
 JOINT {s}Arm {{ OFFSET {y} -5 0 CHANNELS 3 Zrotation Xrotation Yrotation
  JOINT {s}ForeArm {{ OFFSET 0 -28 0 CHANNELS 3 Zrotation Xrotation Yrotation
   JOINT {s}Hand {{ OFFSET 0 -25 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site {{ OFFSET 0 -18 0 }} }} }} }} }}"""
HIERARCHY = f"""HIERARCHY
ROOT mixamorig:Hips {{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
{LIMB.format(s="Left", x=9)}
{LIMB.format(s="Right", x=-9)}
JOINT Spine {{ OFFSET 0 25 0 CHANNELS 3 Zrotation Xrotation Yrotation
 JOINT Neck {{ OFFSET 0 25 0 CHANNELS 3 Zrotation Xrotation Yrotation
  JOINT Head {{ OFFSET 0 8 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site {{ OFFSET 0 20 0 }} }} }}
 {ARM.format(s="Left", x=5, y=12)}
 {ARM.format(s="Right", x=-5, y=-12)} }} }}
"""
"""Somebody who hangs their arms, centimetres, y up, facing along z; 18 joints, 57 channels."""
CHANNELS = 57


def bvh(hierarchy: str = HIERARCHY, frames: int = 3, **angles: float) -> str:
    """A file in which the named joints are turned by degrees about x."""
    names = [word.split(":")[-1] for line in hierarchy.split() for word in [line]]
    order = [names[i + 1] for i, word in enumerate(names) if word in ("ROOT", "JOINT")]
    row = np.zeros(CHANNELS)
    row[1] = 96.0
    for name, degrees in angles.items():
        row[3 + 3 * order.index(name) + 1] = degrees
    rows = "\n".join(" ".join(f"{value:g}" for value in row) for _ in range(frames))
    return f"{hierarchy}MOTION\nFrames: {frames}\nFrame Time: 0.0125\n{rows}\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str, path: str = "someone/walk.bvh"):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)

    return write


@pytest.fixture
def load(tmp_path, write):
    """Write a file and read its folder."""

    def load(text: str) -> MotionSequence:
        write(text)
        (sequence,) = load_folder(tmp_path)
        return sequence

    return load


def scaled(factor: float) -> str:
    """The same person in another unit."""
    words = HIERARCHY.split(" ")
    for i, word in enumerate(words):
        if word == "OFFSET":
            words[i + 1 : i + 4] = [f"{factor * float(value):g}" for value in words[i + 1 : i + 4]]
    return bvh(" ".join(words))


def test_joints_lie_where_they_should(load):
    sequence = load(bvh())
    assert (sequence.name, sequence.subject, sequence.fps) == ("walk", "someone", pytest.approx(80.0))
    joints = dict(zip(JOINT_INDEX, sequence.joints[0], strict=True))
    # z up: what faced along the file's z now faces along -y, and left is +x.
    for name, place in {
        "pelvis": (0, 0, 0.91),
        "left_hip": (0.09, 0, 0.91),
        "right_ankle": (-0.09, 0, 0.08),
        "spine": (0, 0, 1.185),
        "thorax": (0, 0, 1.46),
        "head": (0, 0, 1.65),
        "neck": (0, -0.06, 1.5455),
        "left_shoulder": (0.17, 0, 1.16),
        "right_wrist": (-0.17, 0, 0.63),
    }.items():
        np.testing.assert_allclose(joints[name], place, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(sequence.head_forward[0], [0, -1, 0], atol=1e-6)


def test_rotations_turn_what_hangs_on_them(load):
    sequence = load(bvh(LeftUpLeg=-90.0, Head=90.0))
    hip, knee, ankle = (sequence.joints[0, JOINT_INDEX[f"left_{part}"]] for part in ("hip", "knee", "ankle"))
    np.testing.assert_allclose(knee - hip, [0, -0.42, 0], atol=1e-5)  # Forward.
    np.testing.assert_allclose(ankle - knee, [0, -0.41, 0], atol=1e-5)
    np.testing.assert_allclose(sequence.head_forward[0], [0, 0, -1], atol=1e-6)  # Looks down.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "HIERARCHY and a MOTION"),
        (bvh().replace("Frame Time", "Time"), "Frame Time"),
        (bvh()[:-20], "cut"),
        (bvh().replace("} }\nMOTION", "}\nMOTION"), "braces"),
        (bvh().replace("LeftForeArm", "LeftCubitus"), r"lacks left elbow \(one of leftforearm.*rename"),
        (bvh().replace("Zrotation", "Qrotation"), "Qrotation"),
    ],
)
def test_bad_files_are_named_with_what_was_expected(load, text, told):
    with pytest.raises(MocapError, match=rf"(?s)walk\.bvh.*{told}"):
        load(text)


def test_folders_are_split_by_subject_whatever_lies_below(write, tmp_path):
    for subject in "abcdefgh":
        write(bvh(), f"{subject}/walks/slow.bvh")
        write(bvh(), f"{subject}/run.BVH")
    sequences = load_folder(tmp_path)
    assert len(sequences) == 16
    assert {s.name for s in sequences} == {"slow", "run"}
    assert {s.subject for s in select_split(sequences, "val")} == {"b", "g"}
    assert {s.subject for s in select_split(sequences, "train")} == set("acdefh")


def test_of_one_subject_nothing_is_kept_to_validate_on(write, tmp_path):
    for name in ("one", "two"):
        write(bvh(), f"{name}.bvh")
    sequences = load_folder(tmp_path)
    assert {(s.subject, s.split) for s in sequences} == {(tmp_path.name, "train")}
    with pytest.raises(MocapError, match=r"split 'val', there are \['train'\] of 1 subjects; BVH.*a folder each"):
        select_split(sequences, "val")


@pytest.mark.parametrize("metres_per_unit", [1.0, 0.0254 / 0.45, 0.0254, 0.01, 0.001])
def test_the_unit_is_told_from_the_people(load, metres_per_unit):
    joints = load(scaled(0.01 / metres_per_unit)).joints[0]
    thigh = joints[JOINT_INDEX["left_knee"]] - joints[JOINT_INDEX["left_hip"]]
    assert np.linalg.norm(thigh) == pytest.approx(0.42, abs=1e-4)


def test_a_child_among_adults_has_their_unit(write, tmp_path):
    write(bvh(), "adult/one.bvh")
    write(bvh(), "another/one.bvh")
    write(scaled(0.45), "child/one.bvh")
    joints = load_folder(tmp_path)[-1].joints[0]
    thigh = joints[JOINT_INDEX["left_knee"]] - joints[JOINT_INDEX["left_hip"]]
    assert np.linalg.norm(thigh) == pytest.approx(0.45 * 0.42, abs=1e-4)


def test_a_file_of_another_unit_than_most_is_named(write, tmp_path):
    for subject in "ab":
        write(bvh(), f"{subject}/one.bvh")
    write(scaled(0.01), "c/other.bvh")
    with pytest.raises(MocapError, match=r"c/other\.bvh: expected a person, but the thigh is 0\.0042 m.*0\.01 metres"):
        load_folder(tmp_path)


def test_people_of_no_usual_unit_are_refused(load, tmp_path):
    with pytest.raises(MocapError, match=rf"{tmp_path}: expected BVH files in metres.*4\.2e\+04 units.*centimetres"):
        load(scaled(1000.0))


def test_the_vertical_axis_is_told_from_most_people(write, tmp_path):
    """Who lies, or bends down, among those who stand does not change it."""
    for hips, name in ((90.0, "a/stands.bvh"), (90.0, "b/stands.bvh"), (0.0, "c/lies.bvh")):
        write(bvh(Hips=hips), name)
    stands, _, lies = load_folder(tmp_path)
    upward = JOINT_INDEX["thorax"]
    np.testing.assert_allclose(stands.joints[0, upward] - stands.joints[0, 0], [0, 0, 0.55], atol=1e-5)
    np.testing.assert_allclose(stands.head_forward[0], [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(lies.joints[0, upward] - lies.joints[0, 0], [0, 0.55, 0], atol=1e-5)


@pytest.mark.parametrize(("turn", "told"), [(180.0, r"0\.0, -1\.0, "), (-90.0, r"0\.0, -?0\.0, -1\.0")])
def test_people_who_stand_upside_down_are_refused(load, turn, told):
    with pytest.raises(MocapError, match=rf"y or z axis points up.*{told}"):
        load(bvh(Hips=turn))


def test_arrays_and_bvh_files_of_a_folder_are_read_together(write, tmp_path, walkers):
    write(bvh())
    (walker, _) = walkers
    rel = walker.joints - walker.joints[:, :1]
    extra = np.repeat(walker.head_forward[:, None], 3, axis=1)
    np.savez(
        tmp_path / "some.npz",
        rel=rel,
        root=walker.joints[:, 0],
        extra=extra,
        start=[0],
        length=[len(rel)],
        fps=30.0,
        index=json.dumps([{"name": "one", "subject": "walker", "split": "val"}]),
    )
    found = [(s.subject, s.split, s.fps) for s in load_folder(tmp_path)]
    assert found == [("walker", "val", 30.0), ("someone", "train", pytest.approx(80.0))]


def test_the_commands_take_bvh_files(write, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_STRIDE", 20_000)
    monkeypatch.setattr(calibration, "_WINDOWS", (9,))
    for subject in ("ann", "bob"):
        write(bvh(frames=20), f"data/{subject}/one.bvh")
    data, out = str(tmp_path / "data"), tmp_path / "out"
    assert main(["train", "--data", data, "--output", str(out), "--steps", "1", "--batch-frames", "81"]) == 0
    weights, figures = str(out / "mambapose.safetensors"), tmp_path / "figures.json"
    assert main(["evaluate", "--data", data, "--weights", weights, "--windows", "9", "--json", str(figures)]) == 0
    scores = json.loads(figures.read_text())["windows"]["9"]
    assert all(np.isfinite(value) for row in scores.values() for value in row.values())


def test_end_sites_have_no_channels():
    parsed = parse_bvh(bvh())
    ends = [node for node in parsed.nodes if not node.name]
    assert len(ends) == 5
    assert not any(node.channels for node in ends)
