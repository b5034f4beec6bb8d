import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.continuity import Shot, discontinuity, loses_people, starting_anew

SECOND = 1_000_000_000
CAMERA = Camera.from_fov(64, 48)


@pytest.mark.parametrize(
    ("previous", "current", "reason"),
    [
        (None, 5, ""),
        (0, SECOND // 30, ""),
        (0, SECOND, ""),
        (5, 5, "stamp repeated"),
        (5, 4, "stamp ran backwards"),
        (0, SECOND + 1, "gap between stamps"),
    ],
)
def test_discontinuities_have_names(previous, current, reason):
    assert discontinuity(None if previous is None else Shot(previous, CAMERA), Shot(current, CAMERA)) == reason


def test_another_image_size_is_one_and_other_intrinsics_are_not():
    assert discontinuity(Shot(0, CAMERA), Shot(1, Camera.from_fov(32, 24))) == "image size changed"
    assert discontinuity(Shot(0, CAMERA), Shot(1, Camera.from_fov(64, 48, 1.2))) == ""


@pytest.mark.parametrize(("reason", "lost"), [("", False), ("gap between stamps", False), ("stamp repeated", True)])
def test_people_are_known_again_after_a_gap_alone(reason, lost):
    assert loses_people(reason) == lost
    assert ("new ids" in starting_anew(reason)) == lost
