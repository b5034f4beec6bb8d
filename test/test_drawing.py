import numpy as np
import pytest

from mambapose_ros.drawing import caption, draw_keypoints, draw_skeletons_3d, tile
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.types import PersonKeypoints, Skeleton3D

BLACK = np.zeros((100, 100, 3), np.uint8)


def person(**places: tuple[float, float]) -> PersonKeypoints:
    xy, confidence = np.full((17, 2), np.nan), np.zeros(17)
    for name, place in places.items():
        xy[JOINT_INDEX[name]], confidence[JOINT_INDEX[name]] = place, 1.0
    return PersonKeypoints(xy, confidence)


def test_joints_and_bones_are_drawn_where_they_are_and_the_image_stays():
    drawn = draw_keypoints(BLACK, [person(left_knee=(20, 50), left_ankle=(80, 50))])
    assert drawn[50, 20].any()
    assert drawn[50, 80].any()
    assert drawn[50, 50].any()  # the bone between them
    assert not drawn[20, 50].any()
    assert not BLACK.any()


def test_left_and_right_have_different_colours():
    drawn = draw_keypoints(BLACK, [person(left_wrist=(20, 50), right_wrist=(80, 50))])
    assert tuple(drawn[50, 20]) != tuple(drawn[50, 80])


def test_uncertain_and_missing_joints_are_left_out():
    uncertain = person(left_knee=(20, 50), left_ankle=(80, 50))
    uncertain.confidence[JOINT_INDEX["left_ankle"]] = 0.1
    drawn = draw_keypoints(BLACK, [uncertain])
    assert drawn[50, 20].any()
    assert not drawn[50, 50:].any()


def test_wild_coordinates_do_not_crash():
    far = person(left_knee=(1e12, -1e12), left_ankle=(50, 50), head=(-3e5, 40))
    assert draw_keypoints(BLACK, [far, person()]).shape == BLACK.shape


def test_tiles_keep_order_and_fill_the_last_row():
    images = [np.full((50, 100, 3), value, np.uint8) for value in (10, 20, 30)]
    grid = tile(images, columns=2, width=200)
    assert grid.shape == (100, 200, 3)
    assert [grid[25, 50, 0], grid[25, 150, 0], grid[75, 50, 0]] == [10, 20, 30]
    assert grid[75, 150, 0] == 24


def test_caption_writes_into_the_corner():
    written = caption(BLACK, "hello")
    assert written[:30].any()
    assert not written[40:].any()


SIZE = (400, 300)


def in_space(**places: tuple[float, float, float]) -> Skeleton3D:
    joints = np.full((17, 3), np.nan)
    for name, place in places.items():
        joints[JOINT_INDEX[name]] = place
    return Skeleton3D("", joints, np.ones(17), "learned")


def reddest(picture: np.ndarray) -> np.ndarray:
    """(N, 2) x, y of what is drawn in the left side's colour."""
    red, green = picture[..., 0].astype(int), picture[..., 1].astype(int)
    return np.argwhere((red > 180) & (green < 100))[:, ::-1]


def test_the_two_views_have_the_axes_and_the_scale_that_they_claim():
    # Alone it lies in the middle of both; the others, in white and green, hold the centre and the scale.
    frame = {"pelvis": (0.0, 0.0, 4.0), "right_hip": (-1.0, -1.0, 3.0), "right_ankle": (1.0, 1.0, 5.0)}
    pixels_per_metre = 200 / 2.6  # half the width over 2 m and the margins
    for place in [(0.5, 0.0, 4.0), (0.0, 0.5, 4.0), (0.0, 0.0, 4.5)]:
        red = reddest(draw_skeletons_3d([in_space(left_wrist=place, **frame)], SIZE))
        x, y, z = (np.array(place) - (0.0, 0.0, 4.0)) * pixels_per_metre
        for origin, across in ((100, x), (300, z)):  # the middle of each half
            half = red[(red[:, 0] < 200) == (origin == 100)]
            np.testing.assert_allclose(half.mean(axis=0), (origin + across, 150 + y), atol=1.5)


def test_nothing_is_cut_off_wherever_people_are():
    rng = np.random.default_rng(0)
    for _ in range(10):
        ends = rng.uniform(-6.0, 6.0, (2, 3)) + (0.0, 0.0, 8.0)
        red = reddest(draw_skeletons_3d([in_space(left_wrist=ends[0], left_ankle=ends[1])], SIZE))
        assert red.min() > 2
        assert (red < np.array(SIZE) - 3).all()
        assert (np.abs(red[:, 0] - 200) > 2).all()  # nor drawn over the border of the views


def test_the_floor_is_under_the_lowest_joint():
    picture = draw_skeletons_3d([in_space(left_wrist=(0.0, 0.0, 4.0), left_ankle=(0.0, 1.0, 4.0))], SIZE)
    floor = 150 + 0.5 * 300 / 2.2
    rows = np.flatnonzero((picture[:, 20] == (150, 140, 100)).all(axis=1))
    assert rows.mean() == pytest.approx(floor, abs=1.5)


def test_a_reference_is_grey_and_unsure_joints_are_pale():
    sure = in_space(left_wrist=(0.0, 0.0, 4.0))
    unsure = Skeleton3D("", sure.joints, np.full(17, 0.0), "learned")
    assert len(reddest(draw_skeletons_3d([sure], SIZE)))
    assert not len(reddest(draw_skeletons_3d([unsure], SIZE)))
    assert not len(reddest(draw_skeletons_3d([], SIZE, [sure])))
    assert (draw_skeletons_3d([], SIZE, [sure]) != draw_skeletons_3d([], SIZE, [in_space()])).any()


def test_an_empty_scene_is_an_empty_grid():
    nothing = draw_skeletons_3d([], SIZE)
    assert nothing.shape == (300, 400, 3)
    assert not len(reddest(nothing))
