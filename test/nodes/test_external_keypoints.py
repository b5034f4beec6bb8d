import numpy as np
import pytest
from mambapose_ros.msg import PersonKeypointsArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import frame_header, keypoints_to_msg, ns_to_stamp
from mambapose_ros.nodes.external_keypoints import ExternalKeypointsInput, FoundKeypoints
from mambapose_ros.nodes.stamp_join import KEPT
from mambapose_ros.types import Frame, PersonKeypoints

PERIOD_NS = 33_000_000


class Joining:
    """The input, what it hands over, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.found: list[FoundKeypoints] = []
        self._input = ExternalKeypointsInput(self.found.append, lambda: self.now_s)

    def image(self, index: int) -> None:
        self._input.put_image(Image(header=header(index)))

    def keypoints(self, index: int) -> None:
        self._input.put_keypoints(PersonKeypointsArray(header=header(index)))

    def pairs(self) -> list[bool]:
        assert all(f.image is None or f.image.header == f.message.header for f in self.found)
        return [f.image is not None for f in self.found]


def header(index: int) -> Header:
    return Header(stamp=ns_to_stamp(1_000_000_000 + index * PERIOD_NS))


def test_keypoints_that_come_after_several_images_get_their_own():
    joining = Joining()
    for index in range(10):
        joining.image(index)
        if index >= 4 and index % 3 == 0:  # a detector of a third of the camera's rate that takes 4 images
            joining.keypoints(index - 4)
    assert joining.pairs() == [True, True]
    assert [f.message.header for f in joining.found] == [header(2), header(5)]
    assert all(not f.problem for f in joining.found)


def test_keypoints_that_come_before_their_image_wait_for_it():
    joining = Joining()
    joining.keypoints(0)
    assert not joining.found
    joining.now_s += 0.05
    joining.image(0)
    assert joining.pairs() == [True]


def test_a_camera_that_is_not_there_is_said_and_costs_one_wait():
    joining = Joining()
    joining.keypoints(0)
    joining.now_s += 0.2
    for index in range(1, 4):
        joining.keypoints(index)
    assert joining.pairs() == [False] * 4
    assert "no image came yet" in joining.found[-1].problem


def test_keypoints_with_a_stamp_of_their_own_are_told_how_far_it_is_off():
    joining = Joining()
    joining.image(2)
    joining.keypoints(0)
    assert joining.pairs() == [False]
    assert "+66.0 ms" in joining.found[0].problem
    assert "the stamp of the image" in joining.found[0].problem


def test_images_are_kept_for_slow_detectors_but_do_not_pile_up():
    joining = Joining()
    for index in range(2 * KEPT):
        joining.image(index)
    joining.keypoints(KEPT - 1)
    joining.keypoints(KEPT)
    assert joining.pairs() == [False, True]


def test_a_recording_that_starts_again_is_joined_again():
    joining = Joining()
    for _ in range(2):
        for index in range(5):
            joining.image(index)
            joining.keypoints(index)
    assert joining.pairs() == [True] * 10


def test_people_are_those_of_the_message_and_only_in_an_image_of_the_camera_s_size():
    camera = Camera.from_fov(64, 48)
    frame = Frame(0, "cam", np.zeros((48, 64, 3), np.uint8), camera)
    person = PersonKeypoints(np.arange(34.0).reshape(17, 2), np.ones(17), "theirs")
    found = FoundKeypoints(keypoints_to_msg(frame, [person]), Image(header=frame_header(frame)))
    np.testing.assert_array_equal(found.people(camera)[0].xy, person.xy)
    with pytest.raises(ValueError, match="128x96, the camera's, got 64x48"):
        found.people(Camera.from_fov(128, 96))
