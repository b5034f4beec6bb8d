import numpy as np
import pytest

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.training.bvh import load_bvh, load_bvh_folder, parse_bvh
from mambapose_ros.training.mocap import MocapError

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
    def write(text: str):
        path = tmp_path / "someone" / "walk.bvh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_joints_lie_where_they_should(write):
    sequence = load_bvh(write(bvh()), metres_per_unit=0.01, up="y")
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


def test_rotations_turn_what_hangs_on_them(write):
    sequence = load_bvh(write(bvh(LeftUpLeg=-90.0, Head=90.0)), metres_per_unit=0.01, up="y")
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
        (bvh().replace("OFFSET 0 -42 0", "OFFSET 0 -4200 0"), "thigh is 42 m long"),
        (bvh().replace("Zrotation", "Qrotation"), "Qrotation"),
    ],
)
def test_bad_files_are_named_with_what_was_expected(write, text, told):
    with pytest.raises(MocapError, match=rf"(?s)walk\.bvh.*{told}"):
        load_bvh(write(text), metres_per_unit=0.01, up="y")


def test_folders_are_split_by_subject(tmp_path):
    for subject in ("ann", "bob"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "one.bvh").write_text(bvh())
    sequences = load_bvh_folder(tmp_path, 0.01, "y", val_subjects=["bob"])
    assert [(s.subject, s.split) for s in sequences] == [("ann", "train"), ("bob", "val")]
    with pytest.raises(MocapError, match="eve"):
        load_bvh_folder(tmp_path, 0.01, "y", val_subjects=["eve"])


def test_up_axis_is_one_of_two(write):
    with pytest.raises(MocapError, match="up axis"):
        load_bvh(write(bvh()), 0.01, "x")
    upright = load_bvh(write(bvh()), 0.01, "z")
    np.testing.assert_allclose(upright.joints[0, 0], [0, 0.91, 0], atol=1e-5)


def test_end_sites_have_no_channels():
    parsed = parse_bvh(bvh())
    ends = [node for node in parsed.nodes if not node.name]
    assert len(ends) == 5
    assert not any(node.channels for node in ends)
