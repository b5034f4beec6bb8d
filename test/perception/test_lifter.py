import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.geometry import Camera
from mambapose_ros.models import PoseMamba, PoseMambaConfig, flip_average, load_official_checkpoint, normalize_keypoints
from mambapose_ros.perception import Lifter
from mambapose_ros.perception.lifter import OfficialPoseMamba, scale_to_adult
from mambapose_ros.skeleton import BONE_LENGTH_PRIOR, PARENTS
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

CAMERA = Camera.from_fov(640, 480)
FRAME_NS = 33_333_333
SCENE = SyntheticScene(motion="wave", people=1, seed=0)
TRUTH = SCENE.render(0)
POSE = TRUTH.joints[0] - TRUTH.joints[0, 0]


class RecordingNetwork:
    """Answers with a known pose and keeps what it was asked."""

    window = 9
    scale_source = "learned"
    description = "recording"

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        self.indices: list[int] = []

    def __call__(self, keypoints, camera, index):
        self.asked.append(keypoints)
        self.indices.append(index)
        return np.repeat(POSE[None], len(keypoints), axis=0)


def frame_at(index: int, camera: Camera = CAMERA) -> Frame:
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    return Frame(index * FRAME_NS, "cam", image, camera)


def person(root=(0.0, 0.0, 4.0), name: str = "p1", camera: Camera = CAMERA) -> PersonKeypoints:
    return PersonKeypoints(camera.project(POSE + root), np.full(17, 0.8), name)


def test_a_skeleton_from_the_first_frame_on_at_the_place_of_the_person():
    lifter = Lifter(RecordingNetwork())
    lifted = lifter(frame_at(0), [person((0.5, 0.1, 3.0))], None)
    (skeleton,) = lifted.skeletons
    np.testing.assert_allclose(skeleton.joints, POSE + (0.5, 0.1, 3.0), atol=1e-5)
    assert skeleton.id == "p1"
    assert skeleton.scale_source == "learned"
    np.testing.assert_array_equal(skeleton.confidence, 0.8)


def test_the_window_is_full_and_ends_with_the_newest_frame():
    network = RecordingNetwork()
    lifter = Lifter(network, window=5)
    for i in range(7):
        lifter(frame_at(i), [person((0.1 * i, 0, 4))], None)
    assert [window.shape for window in network.asked] == [(1, 5, 17, 2)] * 7
    expected = np.stack([person((0.1 * i, 0, 4)).xy for i in (0, 0, 0, 0, 1)])
    np.testing.assert_allclose(network.asked[1][0], expected)  # before they came, they stood still
    np.testing.assert_allclose(network.asked[6][0], np.stack([person((0.1 * i, 0, 4)).xy for i in range(2, 7)]))
    assert network.indices == [4] * 7


def test_looking_ahead_answers_for_an_earlier_frame():
    network = RecordingNetwork()
    lifter = Lifter(network, window=5, lookahead=2)
    answers = [lifter(frame_at(i), [person((0.1 * i, 0, 4))], None) for i in range(6)]
    assert answers[:2] == [None, None]
    assert [lifted.stamp_ns for lifted in answers[2:]] == [i * FRAME_NS for i in range(4)]
    for i, lifted in enumerate(answers[2:]):
        np.testing.assert_allclose(lifted.skeletons[0].joints[0], (0.1 * i, 0, 4), atol=1e-5)
        np.testing.assert_array_equal(lifted.keypoints[0].xy, person((0.1 * i, 0, 4)).xy)
    assert set(network.indices) == {2}


def test_everybody_goes_through_the_network_in_one_batch():
    network = RecordingNetwork()
    lifter = Lifter(network)
    lifted = lifter(frame_at(0), [person(name="a"), person((1, 0, 5), name="b")], None)
    assert network.asked[0].shape == (2, 9, 17, 2)
    assert [skeleton.id for skeleton in lifted.skeletons] == ["a", "b"]
    np.testing.assert_allclose(lifted.skeletons[1].joints[0], (1, 0, 5), atol=1e-5)


def test_nobody_is_nobody():
    network = RecordingNetwork()
    assert Lifter(network)(frame_at(0), [], None).skeletons == ()
    assert network.asked == []


def test_missed_frames_are_filled_by_interpolation_in_time():
    network = RecordingNetwork()
    lifter = Lifter(network, window=4)
    places = {0: 0.0, 1: None, 2: None, 3: 0.3}
    for i, x in places.items():
        lifter(frame_at(i), [] if x is None else [person((x, 0, 4))], None)
    expected = np.stack([person((x, 0, 4)).xy for x in (0.0, 0.1, 0.2, 0.3)])
    np.testing.assert_allclose(network.asked[-1][0], expected, atol=1e-3)


def test_missing_joints_are_filled_and_are_not_certain():
    network = RecordingNetwork()
    lifter = Lifter(network)
    whole, cut, never = person(), person(), person()
    cut.xy[3] = np.nan
    lifter(frame_at(0), [whole], None)
    lifted = lifter(frame_at(1), [cut], None)
    np.testing.assert_allclose(network.asked[-1][0, -1, 3], whole.xy[3])
    assert lifted.skeletons[0].confidence[3] == 0
    assert np.isfinite(lifted.skeletons[0].joints).all()

    lifter.reset()
    never.xy[[3, 13]] = np.nan
    lifter(frame_at(2), [never], None)
    np.testing.assert_allclose(network.asked[-1][0, :, 3], network.asked[-1][0, :, PARENTS[3]])


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_whatever_is_missing_the_network_sees_numbers(seed):
    rng = np.random.default_rng(seed)
    network = RecordingNetwork()
    lifter = Lifter(network, window=6, lookahead=int(rng.integers(0, 3)))
    for i in range(8):
        people = []
        for name in ("a", "b"):
            if rng.random() < 0.7:
                someone = person(rng.uniform((-1, -1, 3), (1, 1, 8)), name)
                someone.xy[rng.random(17) < rng.random()] = np.nan
                people.append(someone)
        lifted = lifter(frame_at(i), people, None)
        for skeleton in lifted.skeletons if lifted else ():
            assert np.isfinite(skeleton.joints).all()
            assert skeleton.joints[:, 2].min() > 0
    assert all(np.isfinite(window).all() for window in network.asked)


def test_a_person_of_whom_too_little_is_seen_is_left_out():
    hidden = person()
    hidden.xy[1:] = np.nan
    assert Lifter(RecordingNetwork())(frame_at(0), [hidden], None).skeletons == ()


def test_memory_does_not_grow():
    lifter = Lifter(RecordingNetwork(), window=5)
    for i in range(50):
        lifter(frame_at(i), [person(name=f"p{i}")], None)
    assert len(lifter._moments) == 5


def test_reset_forgets():
    network = RecordingNetwork()
    lifter = Lifter(network, window=3)
    lifter(frame_at(0), [person((1, 0, 4))], None)
    lifter.reset()
    lifter(frame_at(1), [person((0, 0, 4))], None)
    np.testing.assert_allclose(network.asked[-1][0], np.repeat(person((0, 0, 4)).xy[None], 3, axis=0))


@pytest.mark.parametrize(
    ("window", "lookahead", "expected"), [(10, 0, "1 to 9"), (0, 0, "1 to 9"), (5, 5, "0 to 4"), (5, -1, "0 to 4")]
)
def test_impossible_windows_are_refused(window, lookahead, expected):
    with pytest.raises(ValueError, match=expected):
        Lifter(RecordingNetwork(), window, lookahead)


# --- the published network -------------------------------------------------------------------------------------------


def small_model() -> PoseMamba:
    torch.manual_seed(0)
    return PoseMamba(PoseMambaConfig(width=16, depth=1, window=9)).eval()


def test_limbs_become_those_of_an_adult_whatever_the_scale():
    poses = np.stack([POSE, 0.01 * POSE, 300.0 * POSE])
    scaled = scale_to_adult(poses)
    np.testing.assert_allclose(scaled[1], scaled[0], atol=1e-9)
    np.testing.assert_allclose(scaled[2], scaled[0], atol=1e-9)
    ends = list(BONE_LENGTH_PRIOR)
    lengths = np.linalg.norm(scaled[0, ends] - scaled[0, [PARENTS[end] for end in ends]], axis=1)
    np.testing.assert_allclose(lengths, list(BONE_LENGTH_PRIOR.values()), rtol=0.1)


@pytest.mark.parametrize("flip", [False, True])
def test_the_published_network_sees_straightened_normalised_keypoints(flip):
    model = small_model()
    camera = Camera(640, 480, CAMERA.K, "plumb_bob", [-0.2, 0.05, 0.0, 0.0, 0.0])
    straight = Camera(640, 480, CAMERA.K)
    windows = np.stack([np.stack([(POSE + (0.02 * t, 0, 4)) for t in range(5)])])
    answer = OfficialPoseMamba(model, flip_average=flip)(camera.project(windows), camera, index=3)
    normalized = normalize_keypoints(torch.from_numpy(straight.project(windows)).float(), 640, 480)
    with torch.inference_mode():
        poses = flip_average(model, normalized) if flip else model(normalized)
    pose = poses[:, 3].double().numpy()
    np.testing.assert_allclose(answer, scale_to_adult(pose - pose[:, :1]), atol=1e-4)
    assert answer.shape == (1, 17, 3)
    np.testing.assert_array_equal(answer[:, 0], 0.0)


def test_a_released_checkpoint_lifts_a_synthetic_person(shared):
    """With random weights the pose means nothing, but it is metric and says where its scale is from."""
    model = load_official_checkpoint(shared / "golden" / "posemamba_tiny_d32_n2_T9_official_layout.bin")
    lifter = Lifter(OfficialPoseMamba(model))
    for i in range(3):
        truth = SCENE.render(i)
        frame = Frame(i * FRAME_NS, "cam", truth.image, truth.camera)
        lifted = lifter(frame, [PersonKeypoints(truth.keypoints[0], np.ones(17), "p1")], None)
    for skeleton in lifted.skeletons:
        assert skeleton.scale_source == "bone_prior"
        assert skeleton.joints.shape == (17, 3)
