"""What the weights that come with the package promise, on people whose 3D is known exactly."""

import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.models.mambapose import INTERVAL_90
from mambapose_ros.perception import Lifter
from mambapose_ros.perception.lifter import lift_together
from mambapose_ros.perception.lifting_networks import load_lifting_network
from mambapose_ros.synthetic import UPRIGHT_MOTIONS, SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints
from mambapose_ros.weights import locate

CAMERA = Camera.from_fov(640, 480)
FRAMES = 30


@pytest.fixture(scope="module", params=["mambapose-xs", "mambapose-s"])
def network(request):
    return load_lifting_network(locate(request.param))


def motion_of(name: str, seed: int = 0) -> np.ndarray:
    """(FRAMES, 17, 3) metres in the optical frame of a camera at breast height."""
    scene = SyntheticScene(motion=name, seed=seed, width=64, height=48)
    return np.stack([scene.render(index).joints[0] for index in range(FRAMES)])


def lift(network, joints: np.ndarray, camera: Camera = CAMERA, noise_px: float = 0.0):
    """The skeletons of all frames, from the joints' exact projections and nothing else."""
    lifter, rng = Lifter(network, window=27), np.random.default_rng(0)
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    skeletons = []
    for index, pose in enumerate(joints):
        xy = camera.project(pose) + noise_px * rng.standard_normal((17, 2))
        person = PersonKeypoints(xy, np.full(17, 0.9), "p1")
        lifted = lifter(Frame(round(index * 1e9 / 30), "camera", image, camera), [person])
        skeletons.append(lifted.skeletons[0])
    return skeletons


def relative(skeletons) -> np.ndarray:
    return np.stack([skeleton.joints - skeleton.joints[0] for skeleton in skeletons])


def rotation(yaw: float, pitch: float) -> np.ndarray:
    """A camera that turns to the right and up, degrees."""
    a, b = np.radians((yaw, pitch))
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    return nod @ turn


@pytest.mark.parametrize(
    ("camera", "yaw", "pitch"),
    [
        (Camera.from_fov(1920, 1080), 0.0, 0.0),
        (Camera.from_fov(320, 240, np.radians(90.0)), 0.0, 0.0),
        (Camera.from_fov(640, 480, np.radians(100.0)), 25.0, 0.0),
        (Camera.from_fov(640, 480, np.radians(100.0)), -20.0, 10.0),
    ],
)
@pytest.mark.parametrize("motion", ["walk", "wave"])
def test_intrinsics_image_size_and_place_in_the_image_do_not_matter(network, motion, camera, yaw, pitch):
    joints, turned = motion_of(motion), rotation(yaw, pitch)
    expected = relative(lift(network, joints))
    seen = relative(lift(network, joints @ turned.T, camera)) @ turned
    assert np.linalg.norm(seen - expected, axis=-1).mean(axis=1).max() < 0.015


def test_cameras_that_are_lifted_together_get_what_each_gets_alone(network):
    """Three cameras of different intrinsics, in which people come and go."""
    cameras = [CAMERA, Camera.from_fov(320, 240, np.radians(90.0)), Camera.from_fov(1920, 1080, np.radians(50.0))]
    motions = [motion_of("walk"), motion_of("wave", 1)]
    together, alone = ([Lifter(network, window=27) for _ in cameras] for _ in range(2))
    compared = 0
    for index in range(0, FRAMES, 2):
        expected = []
        for number, camera in enumerate(cameras):
            people = [
                PersonKeypoints(camera.project(joints[index]), np.full(17, 0.9), f"p{place}")
                for place, joints in enumerate(motions)
                if (index // 6 + place + number) % 3
            ]
            image = np.zeros((camera.height, camera.width, 3), np.uint8)
            frame = Frame(round(index * 1e9 / 30), "camera", image, camera)
            together[number].observe(frame, people)
            expected.append(alone[number](frame, people))
        for lifted, other in zip(lift_together(together), expected, strict=True):
            assert lifted.stamp_ns == other.stamp_ns
            assert lifted.camera is other.camera
            for skeleton, lonely in zip(lifted.skeletons, other.skeletons, strict=True):
                assert skeleton.id == lonely.id
                np.testing.assert_allclose(skeleton.joints, lonely.joints, atol=1e-4)
                np.testing.assert_allclose(skeleton.covariance, lonely.covariance, rtol=1e-3, atol=1e-9)
                np.testing.assert_allclose(skeleton.velocity, lonely.velocity, atol=1e-2)
                compared += 1
    assert compared > FRAMES


@pytest.fixture(scope="module")
def upright(network):
    """Truth and skeletons of all upright motions, by people of many sizes, seen with the noise of a good detector."""
    truth = [motion_of(motion, seed) for seed, motion in enumerate(UPRIGHT_MOTIONS)]
    return truth, [lift(network, joints, noise_px=2.0) for joints in truth]


def test_poses_and_places_are_near_the_truth(upright):
    truth, lifted = upright
    errors = [
        np.linalg.norm(relative(skeletons) - (joints - joints[:, :1]), axis=-1)[5:, 1:].mean(axis=1)
        for joints, skeletons in zip(truth, lifted, strict=True)
    ]
    assert np.median(np.concatenate(errors)) < 0.1
    distances = [
        np.abs(np.stack([s.joints[0] for s in skeletons]) - joints[:, 0])[5:, 2] / joints[5:, 0, 2]
        for joints, skeletons in zip(truth, lifted, strict=True)
    ]
    assert np.median(np.concatenate(distances)) < 0.1


def test_intervals_hold_the_errors(upright):
    inside = []
    for joints, skeletons in zip(*upright, strict=True):
        limit = np.stack([INTERVAL_90 * np.sqrt(s.covariance[:, 0, 0] / 4.0) for s in skeletons])
        error = np.linalg.norm(relative(skeletons) - (joints - joints[:, :1]), axis=-1)
        inside.append((error < limit)[5:, 1:])
    assert 0.85 <= np.concatenate(inside).mean() <= 0.97


def test_bones_hardly_change(upright):
    from mambapose_ros.training.metrics import bone_variation

    assert np.mean([bone_variation(relative(skeletons)[5:]) for skeletons in upright[1]]) < 0.03


def test_left_and_right_are_never_swapped(upright):
    from mambapose_ros.skeleton import FLIP

    for joints, skeletons in zip(*upright, strict=True):
        truth = joints - joints[:, :1]
        straight, swapped = (
            np.linalg.norm(p - truth, axis=-1).mean(axis=1)
            for p in (relative(skeletons), relative(skeletons)[:, list(FLIP)])
        )
        assert (straight < swapped)[5:].all()
