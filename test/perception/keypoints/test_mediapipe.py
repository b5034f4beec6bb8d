import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.skeleton import BLAZEPOSE_TO_H36M, map_landmarks
from mambapose_ros.sources import SourceOptions, open_source
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame


@pytest.fixture(scope="module")
def detector():
    made = make_detector("mediapipe")
    yield made
    made.close()


def shot(image):
    return Frame(0, "camera", image, Camera.from_fov(image.shape[1], image.shape[0]))


def frames(motion, count, **options):
    for source_frame, _ in zip(
        open_source(f"synthetic:{motion}", SourceOptions(**options)), range(count), strict=False
    ):
        yield source_frame.frame, source_frame.truth


def found_of(people, truth):
    """For each true person the number of finds that lie on them."""
    heights = np.ptp(truth.keypoints[..., 1], axis=1)
    counts = [0] * len(heights)
    for person in people:
        apart = np.median(np.linalg.norm(person.xy - truth.keypoints, axis=2), axis=1) / heights
        if apart.min() < 0.12:
            counts[int(apart.argmin())] += 1
    return counts


def test_nobody_in_an_empty_image(detector):
    detector.reset()
    assert detector(shot(np.full((240, 320, 3), 128, np.uint8))) == ()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 50, 3), (40, 31, 3)])
def test_tiny_images_do_no_harm(detector, shape):
    detector.reset()
    for _ in range(3):
        assert detector(shot(np.zeros(shape, np.uint8))) == ()


@pytest.mark.parametrize("size", [(640, 480), (320, 320), (480, 640)])
def test_joints_lie_on_the_person_whatever_the_image_shape(detector, size):
    detector.reset()
    people = [(detector(frame), truth) for frame, truth in frames("idle", 5, width=size[0], height=size[1], seed=5)]
    (person,), truth = people[-1]
    keypoints = truth.keypoints[0]
    error = np.linalg.norm(person.xy - keypoints, axis=1) / np.ptp(keypoints[:, 1])
    assert np.median(error) < 0.05
    assert person.xy.shape == (17, 2)
    assert ((person.confidence >= 0) & (person.confidence <= 1)).all()
    # Left is left: the person faces the camera, so their left shoulder is on the right of the image.
    assert (person.xy[11, 0] > person.xy[14, 0]) == (keypoints[11, 0] > keypoints[14, 0])


def test_one_person_has_the_landmarks_of_the_upstream_solution(detector):
    import mediapipe

    detector.reset()
    upstream = mediapipe.solutions.pose.Pose(model_complexity=1)
    for frame, _ in frames("turn", 12, seed=3):
        (person,) = detector(frame)
        landmarks = upstream.process(frame.image).pose_landmarks.landmark
        points = np.array([(point.x, point.y, point.visibility) for point in landmarks])
        xy, confidence = map_landmarks(BLAZEPOSE_TO_H36M, points[:, :2] * (640, 480) - 0.5, points[:, 2])
        np.testing.assert_allclose(person.xy, xy, atol=1e-9)
        np.testing.assert_allclose(person.confidence, confidence.clip(0, 1), atol=1e-9)
    upstream.close()


@pytest.mark.parametrize(("motion", "seed"), [("reach", 3), ("wave", 3), ("squat", 8)])
def test_parts_and_shadows_of_one_person_are_no_second_one(detector, motion, seed):
    detector.reset()
    assert [len(detector(frame)) for frame, _ in frames(motion, 25, seed=seed)] == [1] * 25


@pytest.mark.parametrize(("motion", "seed", "count"), [("wave", 0, 12), ("walk", 1, 65)])
def test_two_people_are_followed_also_when_they_cross(detector, motion, seed, count):
    detector.reset()
    both, tracked = 0, 0
    for frame, truth in frames(motion, count, people=2, seed=seed):
        counts = found_of(detector(frame), truth)
        if (truth.visibility.mean(axis=1) > 0.5).all():
            both += 1
            tracked += min(counts) >= 1
    assert both >= 0.8 * count
    assert tracked >= 0.9 * both


def test_four_people_are_found_also_inside_the_box_of_a_nearer_one(detector):
    detector.reset()
    counts = [found_of(detector(frame), truth) for frame, truth in frames("wave", 8, people=4, seed=2)]
    assert np.mean([min(count) == 1 == max(count) for count in counts]) >= 0.9


def test_no_more_people_than_asked_for():
    detector = make_detector("mediapipe", max_people=1)
    assert {len(detector(frame)) for frame, _ in frames("wave", 6, people=2)} == {1}
    detector.close()


def test_who_leaves_the_image_is_gone(detector):
    detector.reset()
    image = SyntheticScene("wave", seed=2).render(0).image
    assert len(detector(shot(image))) == 1
    wall = np.repeat(image[:, -1:], 640, axis=1)
    seen = []
    for shift in range(0, 641, 64):
        seen.append(len(detector(shot(np.concatenate([image[:, shift:], wall[:, :shift]], axis=1)))))
    assert seen[0] == 1
    assert seen[-1] == 0
    assert all(len(detector(shot(wall))) == 0 for _ in range(5))


def test_reset_forgets_the_person(detector):
    detector.reset()
    for frame, _ in frames("idle", 3):
        assert len(detector(frame)) == 1
    detector.reset()
    assert detector(shot(np.full((480, 640, 3), 128, np.uint8))) == ()


def test_the_same_after_a_reset_as_the_first_time(detector):
    runs = []
    for _ in range(2):
        detector.reset()
        runs.append([detector(frame)[0] for frame, _ in frames("walk", 4, seed=6)])
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first.xy, second.xy)
        np.testing.assert_array_equal(first.confidence, second.confidence)
