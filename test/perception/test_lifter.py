import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.evidence import Channel, Observations, build_evidence
from mambapose_ros.evidence.channels import TYPICAL_INTERVAL_S
from mambapose_ros.geometry import Camera
from mambapose_ros.perception import Lifter
from mambapose_ros.perception.lifter import lift_together
from mambapose_ros.perception.lifting_networks import LiftedPoses
from mambapose_ros.perception.measured_distance import MEMORY_S
from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.training.cameras import Cameras
from mambapose_ros.training.surface import visible_surface
from mambapose_ros.types import DepthMap, Frame, PersonKeypoints

CAMERA = Camera.from_fov(640, 480)
FRAME_NS = 33_333_333
SCENE = SyntheticScene(motion="wave", people=1, seed=0)
TRUTH = SCENE.render(0)
POSE = TRUTH.joints[0] - TRUTH.joints[0, 0]


class RecordingNetwork:
    """Answers with a known pose and keeps what it was asked."""

    window = 9
    scale_source = "learned"
    uses_depth = True
    description = "recording"
    size = 1.0

    def __init__(self) -> None:
        self.asked: list[Observations] = []
        self.cameras: list[list[Camera]] = []
        self.indices: list[int] = []

    def __call__(self, observations, cameras, index):
        self.asked.append(observations)
        self.cameras.append(list(cameras))
        self.indices.append(index)
        people = len(observations.rays)
        covariance = np.broadcast_to(0.01 * np.eye(3), (people, 17, 3, 3))
        return LiftedPoses(np.repeat(self.size * POSE[None], people, axis=0), covariance)


def frame_at(index: float, camera: Camera = CAMERA) -> Frame:
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    return Frame(round(index * FRAME_NS), "cam", image, camera)


def person(root=(0.0, 0.0, 4.0), name: str = "p1", camera: Camera = CAMERA, state: str = "tracked") -> PersonKeypoints:
    return PersonKeypoints(camera.project(POSE + root), np.full(17, 0.8), name, state)


def flat(depth: float, source: str = "sensor", metric: bool = True) -> DepthMap:
    return DepthMap(np.full((CAMERA.height, CAMERA.width), depth, np.float32), metric, source)


def test_a_skeleton_from_the_first_frame_on_at_the_place_of_the_person():
    lifter = Lifter(RecordingNetwork())
    lifted = lifter(frame_at(0), [person((0.5, 0.1, 3.0))])
    (skeleton,) = lifted.skeletons
    np.testing.assert_allclose(skeleton.joints, POSE + (0.5, 0.1, 3.0), atol=1e-5)
    assert skeleton.id == "p1"
    assert skeleton.scale_source == "learned"
    np.testing.assert_array_equal(skeleton.confidence, 0.8)
    np.testing.assert_array_equal(skeleton.covariance[3], 0.01 * np.eye(3))
    assert np.isnan(skeleton.velocity).all()


def test_the_window_has_its_full_length_and_ends_with_the_newest_frame():
    network = RecordingNetwork()
    lifter = Lifter(network, window=5)
    for i in range(7):
        lifter(frame_at(i), [person((0.1 * i, 0, 4))])
    assert [asked.rays.shape for asked in network.asked] == [(1, 5, 17, 2)] * 7
    assert network.indices == [4] * 7
    # Before they came, nobody was seen.
    assert np.isnan(network.asked[1].rays[0, :3]).all()
    np.testing.assert_array_equal(network.asked[1].confidence[0, :, 0], [0, 0, 0, 0.8, 0.8])
    expected = np.stack([CAMERA.rays(person((0.1 * i, 0, 4)).xy) for i in range(2, 7)])
    np.testing.assert_allclose(network.asked[6].rays[0], expected)


def test_intervals_are_those_of_the_stamps_and_the_usual_one_where_there_is_none():
    network = RecordingNetwork()
    lifter = Lifter(network, window=6)
    for i in (0, 1, 2, 4, 5):
        lifter(frame_at(i), [person()])
    third = FRAME_NS * 1e-9
    np.testing.assert_allclose(network.asked[0].interval[0], TYPICAL_INTERVAL_S)
    np.testing.assert_allclose(network.asked[-1].interval[0], [third, third, third, third, 2 * third, third])
    lifter(frame_at(6), [person()])
    lifter(frame_at(7.5), [person()])
    np.testing.assert_allclose(network.asked[-1].interval[0], [third, third, 2 * third, third, third, 1.5 * third])


def test_looking_ahead_answers_for_an_earlier_frame_and_flushing_for_the_last_ones():
    network = RecordingNetwork()
    lifter = Lifter(network, window=5, lookahead=2)
    answers = [lifter(frame_at(i), [person((0.1 * i, 0, 4))]) for i in range(6)]
    assert answers[:2] == [None, None]
    assert set(network.indices) == {2}
    answers += lifter.flush()
    assert network.indices[-2:] == [3, 4]
    assert [lifted.stamp_ns for lifted in answers[2:]] == [i * FRAME_NS for i in range(6)]
    for i, lifted in enumerate(answers[2:]):
        np.testing.assert_allclose(lifted.skeletons[0].joints[0], (0.1 * i, 0, 4), atol=1e-5)
        np.testing.assert_array_equal(lifted.keypoints[0].xy, person((0.1 * i, 0, 4)).xy)
    assert lifter.flush() == ()


def test_flushing_after_fewer_frames_than_it_looks_ahead_gives_all_of_them():
    lifter = Lifter(RecordingNetwork(), window=5, lookahead=4)
    assert [lifter(frame_at(i), [person()]) for i in range(3)] == [None] * 3
    assert [lifted.stamp_ns for lifted in lifter.flush()] == [0, FRAME_NS, 2 * FRAME_NS]


def test_everybody_goes_through_the_network_in_one_batch():
    network = RecordingNetwork()
    lifter = Lifter(network)
    lifted = lifter(frame_at(0), [person(name="a"), person((1, 0, 5), name="b")])
    assert network.asked[0].rays.shape == (2, 9, 17, 2)
    assert [skeleton.id for skeleton in lifted.skeletons] == ["a", "b"]
    np.testing.assert_allclose(lifted.skeletons[1].joints[0], (1, 0, 5), atol=1e-5)


def test_the_people_of_several_cameras_go_through_the_network_in_one_batch():
    network = RecordingNetwork()
    lifters = [Lifter(network, window=5, lookahead=1) for _ in range(4)]
    wide = Camera.from_fov(320, 240, np.radians(90))
    for lifter in lifters[:3]:
        lifter(frame_at(0), [])
    lifters[0].observe(frame_at(1), [])
    lifters[1].observe(frame_at(1, wide), [])
    lifters[2].observe(frame_at(1), [])
    lifters[3].observe(frame_at(1), [person()])
    lifters[0].observe(frame_at(2), [])
    assert [lifted and lifted.skeletons for lifted in lift_together(lifters)] == [(), (), (), None]
    assert network.asked == []  # nobody was there one frame back

    lifters[0].observe(frame_at(2), [person((1, 0, 5), "a"), person(name="b"), person(name="c", state="lost")])
    lifters[1].observe(frame_at(2, wide), [person((-1, 0, 3), "a", wide)])
    lifters[2].observe(frame_at(2), [])
    for lifter in lifters[:3]:
        lifter.observe(frame_at(3), [])
    lifted = lift_together(lifters[:3])
    assert [len(asked.rays) for asked in network.asked] == [3]
    assert network.cameras == [[CAMERA, CAMERA, wide]]
    assert network.indices == [3]
    assert [[skeleton.id for skeleton in moment.skeletons] for moment in lifted] == [["a", "b", "c"], ["a"], []]
    np.testing.assert_allclose(lifted[0].skeletons[0].joints[0], (1, 0, 5), atol=1e-5)
    np.testing.assert_allclose(lifted[1].skeletons[0].joints[0], (-1, 0, 3), atol=1e-5)
    assert lift_together([]) == ()


def test_nobody_is_nobody():
    network = RecordingNetwork()
    assert Lifter(network)(frame_at(0), []).skeletons == ()
    assert network.asked == []


def test_missing_joints_stay_missing_and_are_not_certain():
    network = RecordingNetwork()
    lifter = Lifter(network)
    cut = person()
    cut.xy[3] = np.nan
    cut.confidence[5] = 0.0
    lifted = lifter(frame_at(0), [cut], np.zeros((480, 640, 2)), flat(4.0))
    for name in ("rays", "previous_rays", "depth"):
        missing = np.isnan(getattr(network.asked[0], name)[0, -1]).reshape(17, -1).any(axis=1)
        assert missing[[3, 5]].all()
        assert not np.delete(missing, [3, 5]).any()
    np.testing.assert_array_equal(network.asked[0].confidence[0, -1, [3, 5]], 0.0)
    np.testing.assert_array_equal(lifted.skeletons[0].confidence[[3, 5]], 0.0)
    assert np.isfinite(lifted.skeletons[0].joints).all()


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
        flow = rng.choice([0.0, 2.0, np.nan], (480, 640, 2)) if rng.random() < 0.5 else None
        depth = flat(rng.choice([0.0, np.nan, 3.0]), rng.choice(["sensor", "network"])) if rng.random() < 0.5 else None
        lifted = lifter(frame_at(i), people, flow, depth)
        for skeleton in lifted.skeletons if lifted else ():
            assert np.isfinite(skeleton.joints).all()
            assert skeleton.joints[:, 2].min() > 0
    for asked in network.asked:
        assert (asked.interval > 0).all()
        assert np.isfinite(build_evidence(asked)[0]).all()


def test_a_person_of_whom_too_little_is_seen_is_left_out():
    hidden = person()
    hidden.xy[1:] = np.nan
    assert Lifter(RecordingNetwork())(frame_at(0), [hidden]).skeletons == ()


def test_a_predicted_person_is_placed_by_the_prediction_which_the_network_does_not_see():
    network = RecordingNetwork()
    lifter = Lifter(network)
    lifter(frame_at(0), [person((0.0, 0, 4))])
    lifted = lifter(frame_at(1), [person((0.2, 0, 4), state="predicted")])
    assert np.isnan(network.asked[-1].rays[0, -1]).all()
    (skeleton,) = lifted.skeletons
    np.testing.assert_allclose(skeleton.joints[0], (0.2, 0, 4), atol=1e-5)
    np.testing.assert_array_equal(skeleton.confidence, 0.0)
    assert skeleton.state == "predicted"


def test_whom_no_frame_of_the_window_shows_keeps_the_last_pose():
    network = RecordingNetwork()
    lifter = Lifter(network, window=3)
    lifter(frame_at(0), [person((0.0, 0, 4)), person((1.0, 0, 4), "p2")])
    hidden = person((0.1, 0, 4), state="predicted")
    for i in range(1, 6):
        lifted = lifter(frame_at(i), [hidden, person((1.0, 0, 4), "p2")])
        shown = {skeleton.id: skeleton for skeleton in lifted.skeletons}
        np.testing.assert_allclose(shown["p1"].joints, POSE + (0.1, 0, 4), atol=1e-4)
        assert shown["p1"].covariance[1, 0, 0] == pytest.approx(0.01)
        assert len(network.asked[-1].rays) == (2 if i < 3 else 1)  # of nothing, the network would make somebody else
    assert {skeleton.id for skeleton in lifter(frame_at(6), [hidden]).skeletons} == {"p1"}  # and nobody is asked for
    assert len(network.asked) == 6
    lifter.reset()  # as after a gap, over which the tracker knows people
    lifted = lifter(frame_at(50), [hidden, person((1.0, 0, 4), "p2")])
    assert [skeleton.id for skeleton in lifted.skeletons] == ["p2"]
    assert lifted.unplaced == {"p1": "not seen since the window began"}


def test_the_velocity_of_somebody_seen_again_is_not_the_way_from_where_they_were_predicted():
    lifter = Lifter(RecordingNetwork())
    for i in range(4):
        lifter(frame_at(i), [person((0.0, 0, 4))])
    for i in range(4, 14):
        lifter(frame_at(i), [person((0.0, 0, 4), state="predicted")])
    for i in range(14, 18):
        lifted = lifter(frame_at(i), [person((0.5, 0, 4))])
        velocity = lifted.skeletons[0].velocity
        assert np.isnan(velocity).all() if i == 14 else np.abs(velocity).max() < 1e-3


@pytest.mark.parametrize("interrupted", [0, 2, 3, 4, 6])  # 3 = at the first frame that is lifted
def test_an_interrupted_call_is_made_up_for_by_flushing(interrupted):
    lifter = Lifter(RecordingNetwork(), lookahead=3)
    stamps = [lifted.stamp_ns for i in range(interrupted) if (lifted := lifter(frame_at(i), [person()]))]
    lifter.observe(frame_at(interrupted), [person()])  # Ctrl-C before it is lifted
    stamps += [lifted.stamp_ns for lifted in lifter.flush()]
    assert stamps == [frame_at(i).stamp_ns for i in range(interrupted + 1)]


def test_why_somebody_has_no_place_is_said():
    someone, nobody = person((1, 0, 4)), person((0, 0, 4), "p2")
    nobody.xy[2:] = np.nan
    nobody.confidence[1:] = 0.0
    lifted = Lifter(RecordingNetwork())(frame_at(0), [someone, nobody])
    assert [skeleton.id for skeleton in lifted.skeletons] == [someone.id]
    assert lifted.unplaced == {"p2": "fewer than two joints are seen"}


def test_a_lost_person_is_said_to_be_lost_and_nowhere():
    lifter = Lifter(RecordingNetwork())
    lifted = lifter(frame_at(0), [person(name="a"), person(name="b", state="lost")])
    assert [(skeleton.id, skeleton.state) for skeleton in lifted.skeletons] == [("a", "tracked"), ("b", "lost")]
    assert np.isnan(lifted.skeletons[1].joints).all()


def test_memory_does_not_grow():
    lifter = Lifter(RecordingNetwork(), window=5)
    for i in range(100):
        lifter(frame_at(i), [person(name=f"p{i}")])
    assert len(lifter._moments) == len(lifter._last_poses) == 5
    assert len(lifter._velocities._places) < 35  # of a second


def test_reset_forgets():
    network = RecordingNetwork()
    lifter = Lifter(network, window=3)
    lifter(frame_at(0), [person((1, 0, 4))])
    lifter.reset()
    lifted = lifter(frame_at(1), [person((0, 0, 4))])
    assert np.isnan(network.asked[-1].rays[0, :2]).all()
    assert np.isnan(lifted.skeletons[0].velocity).all()


def test_after_a_gap_people_have_the_bones_that_they_had():
    """The network's people shrink by a fifth; who was known before the gap is nearer to the size that they had."""
    network = RecordingNetwork()
    lifter = Lifter(network, window=3)
    for i in range(9):
        lifter(frame_at(i), [person()])
    lifter.reset()
    network.size = 0.8
    known, new = lifter(frame_at(50), [person(), person(name="p2")]).skeletons
    heights = [np.ptp(skeleton.joints[:, 1]) / np.ptp(POSE[:, 1]) for skeleton in (known, new)]
    assert heights == pytest.approx([0.8**0.1, 0.8], abs=0.01)  # one of ten
    lifter.reset()
    lifter(frame_at(100), [person(name="p3")])
    assert set(lifter._bone_lengths._sums) == {"p3"}


@pytest.mark.parametrize(
    ("window", "lookahead", "expected"), [(10, 0, "1 to 9"), (0, 0, "1 to 9"), (5, 5, "0 to 4"), (5, -1, "0 to 4")]
)
def test_impossible_windows_are_refused(window, lookahead, expected):
    with pytest.raises(ValueError, match=expected):
        Lifter(RecordingNetwork(), window, lookahead)


# --- what is measured besides keypoints ------------------------------------------------------------------------------


def test_a_depth_sensor_says_how_far_away_the_person_is():
    """The network's person is 10 % too small, so that the rays alone put them 10 % too near."""
    distant = PersonKeypoints(CAMERA.project(1.1 * POSE + (0.4, 0.0, 4.4)), np.full(17, 0.8), "p1")
    alone = Lifter(RecordingNetwork())(frame_at(0), [distant]).skeletons[0]
    np.testing.assert_allclose(alone.joints[0, 2], 4.0, atol=1e-3)

    depth = flat(9.0)
    for (x, y), z in zip(distant.xy.round().astype(int), 4.4 + POSE[:, 2] - JOINT_RADIUS_M, strict=True):
        depth.values[y - 8 : y + 9, x - 8 : x + 9] = z
    depth.values[:170] = 1.5  # something hides the head
    measured = Lifter(RecordingNetwork())(frame_at(0), [distant], None, depth).skeletons[0]
    assert measured.scale_source == "depth_sensor"
    np.testing.assert_allclose(measured.joints[0], (0.4, 0.0, 4.4), atol=0.03)


def test_an_image_without_depth_moves_nobody_and_a_sensor_that_stopped_gives_no_scale():
    """The network's person is 10 % too small, and between measurements stays where they were measured."""
    lifter = Lifter(RecordingNetwork(), window=4)
    distant = PersonKeypoints(CAMERA.project(1.1 * POSE + (0.4, 0.0, 4.4)), np.full(17, 0.8), "p1")
    depth = flat(9.0)
    for (x, y), z in zip(distant.xy.round().astype(int), 4.4 + POSE[:, 2] - JOINT_RADIUS_M, strict=True):
        depth.values[y - 8 : y + 9, x - 8 : x + 9] = z
    last = round(MEMORY_S * 1e9 / FRAME_NS)  # that remembers frame 0
    places = {}
    for index in range(last + 2):
        measured = depth if index == 0 else None
        (skeleton,) = lifter(frame_at(index), [distant], None, measured).skeletons
        places[index] = skeleton.joints[0], skeleton.scale_source
    for index in range(last + 1):
        np.testing.assert_allclose(places[index][0], (0.4, 0.0, 4.4), atol=0.03)
        assert places[index][1] == "depth_sensor"
    assert places[last + 1][1] == "learned"
    np.testing.assert_allclose(places[last + 1][0][2], 4.0, atol=1e-3)


def test_a_stray_measurement_is_none():
    network = RecordingNetwork()
    lifter = Lifter(network, window=4)
    depth = flat(np.nan)
    x, y = person().xy[13].round().astype(int)
    depth.values[y - 1 : y + 2, x - 1 : x + 2] = 1.2  # a fleck before a wrist
    (skeleton,) = lifter(frame_at(0), [person()], None, depth).skeletons
    assert skeleton.scale_source == "learned"
    assert np.isnan(network.asked[-1].depth).all()
    (skeleton,) = lifter(frame_at(1), [person()], None, flat(3.0)).skeletons
    assert skeleton.scale_source == "depth_sensor"


def test_depth_of_a_network_does_not_give_the_scale_whatever_its_unit():
    for depth in (flat(9.0, "network"), flat(0.1, "network", metric=False)):
        network = RecordingNetwork()
        (skeleton,) = Lifter(network)(frame_at(0), [person()], None, depth).skeletons
        assert skeleton.scale_source == "learned"
        assert not network.asked[0].metric[0]
        np.testing.assert_allclose(skeleton.joints[0], (0, 0, 4), atol=1e-5)
        np.testing.assert_allclose(network.asked[0].depth[0, -1], 1 / 9 if depth.metric else 0.1, rtol=1e-6)


def test_depth_of_two_kinds_is_not_mixed_in_a_window():
    network = RecordingNetwork()
    lifter = Lifter(network, window=4)
    for i, depth in enumerate((flat(0.2, "network", False), flat(3.0), None, None, None)):
        lifter(frame_at(i), [person()], None, depth)
    depths = [asked.depth[0, :, 0].tolist() for asked in network.asked]
    assert [asked.metric.tolist() for asked in network.asked] == [[False], [True], [True], [True], [True]]
    np.testing.assert_allclose(depths[0], [np.nan, np.nan, np.nan, 0.2])
    np.testing.assert_allclose(depths[1], [np.nan, np.nan, np.nan, 3.0])
    np.testing.assert_allclose(depths[4], [3.0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("camera", [CAMERA, Camera(640, 480, CAMERA.K, "plumb_bob", [-0.2, 0.05, 0.0, 0.0, 0.0])])
def test_flow_says_where_the_point_was_one_frame_before(camera):
    network = RecordingNetwork()
    flow = np.full((480, 640, 2), (6.0, -3.0), np.float32)
    someone = person(camera=camera)
    Lifter(network)(frame_at(0, camera), [someone], flow)
    np.testing.assert_allclose(network.asked[0].previous_rays[0, -1], camera.rays(someone.xy - (6.0, -3.0)), atol=1e-6)


@pytest.mark.parametrize("moving_camera", [False, True])
@pytest.mark.parametrize("motion", ["walk", "wave"])
def test_what_the_network_sees_of_a_rendered_person_is_what_training_showed_it(motion, moving_camera):
    """Flow and depth maps sampled at the joints give the evidence that the joints themselves give."""
    scene = SyntheticScene(motion=motion, seed=3, moving_camera=moving_camera)
    network = RecordingNetwork()
    lifter = Lifter(network)
    frames = [scene.render(i) for i in range(9)]
    for truth in frames:
        frame = Frame(truth.stamp_ns, "cam", truth.image, truth.camera)
        seen = PersonKeypoints(truth.keypoints[0], np.ones(17), "p1")
        lifter(frame, [seen], truth.flow, DepthMap(truth.depth, True, "sensor"))
    evidence, _ = build_evidence(network.asked[-1])

    joints = np.stack([truth.joints[0] for truth in frames])[None]
    rays = joints[..., :2] / joints[..., 2:]
    before = np.concatenate([np.full_like(rays[:, :1], np.nan), rays[:, :-1]], axis=1)
    seen_from = Cameras(np.broadcast_to(np.eye(3), (1, 9, 3, 3)), np.zeros((1, 9, 3)), np.ones((1, 2)), np.ones(1))
    skin = visible_surface(rays, joints, np.ones(1), np.ones(1), seen_from).depth
    expected, _ = build_evidence(
        Observations(rays, np.ones(rays.shape[:3]), network.asked[-1].interval, before, skin, np.ones(1, bool))
    )
    for channel in (Channel.X, Channel.Y, Channel.SIZE, Channel.INTERVAL, Channel.PRESENT):
        np.testing.assert_allclose(evidence[..., channel], expected[..., channel], atol=1e-5)
    seen = np.stack([truth.visibility[0] for truth in frames])[None, 1:]
    for channel, tolerance in ((Channel.FLOW_X, 0.01), (Channel.FLOW_Y, 0.01), (Channel.DEPTH, 0.1)):
        error = np.abs(evidence[:, 1:, :, channel] - expected[:, 1:, :, channel])[seen]
        assert np.median(error) < tolerance
        sampled, true = evidence[:, 1:, :, channel][seen], expected[:, 1:, :, channel][seen]
        assert np.corrcoef(sampled, true)[0, 1] > 0.9, channel.name
    np.testing.assert_allclose(evidence[0, 0, 0, Channel.EXTENT], expected[0, 0, 0, Channel.EXTENT], atol=0.02)
