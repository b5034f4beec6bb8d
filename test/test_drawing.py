import numpy as np

from mambapose_ros.drawing import caption, draw_keypoints, tile
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.types import PersonKeypoints

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
