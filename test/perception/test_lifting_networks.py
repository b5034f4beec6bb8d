from dataclasses import replace

import numpy as np
import pytest
import torch

from mambapose_ros.evidence import Observations, build_evidence
from mambapose_ros.geometry import Camera
from mambapose_ros.models import PoseMamba, PoseMambaConfig, flip_average, load_official_checkpoint, normalize_keypoints
from mambapose_ros.models.checkpoints import CheckpointError
from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig, save_mambapose
from mambapose_ros.perception import Lifter
from mambapose_ros.perception.lifting_networks import (
    DETECTOR_GAP,
    FusionMambaPose,
    OfficialPoseMamba,
    load_lifting_network,
    scale_to_adult,
)
from mambapose_ros.skeleton import BONE_LENGTH_PRIOR, FLIP, PARENTS
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

CAMERA = Camera.from_fov(640, 480)
CAMERAS = [CAMERA, CAMERA]
SCENE = SyntheticScene(motion="wave", people=1, seed=0)
TRUTH = SCENE.render(0)
POSE = TRUTH.joints[0] - TRUTH.joints[0, 0]
INTERVAL = 1 / 30


def observe(poses: np.ndarray, **more) -> Observations:
    """Joints (P, T, 17, 3) metres, seen without noise."""
    return Observations(
        poses[..., :2] / poses[..., 2:], np.ones(poses.shape[:3]), np.full(poses.shape[:2], INTERVAL), **more
    )


# --- MambaPose -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fusion_model() -> MambaPose:
    torch.manual_seed(0)
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=9)).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # so that scales differ between joints
    return model


def windows(rng: np.random.Generator) -> Observations:
    poses = (
        POSE
        + np.array([(0.02 * t, 0.0, 4.0) for t in range(7)])[None, :, None]
        + np.array([[0, 0, 0], [1, 0, 1]])[:, None, None]
    )
    rays = poses[..., :2] / poses[..., 2:]
    return observe(
        poses,
        previous_rays=rays + rng.normal(0, 0.01, rays.shape),
        depth=poses[..., 2] + rng.normal(0, 0.02, rays.shape[:3]),
        metric=np.array([True, True]),
    )


def test_a_pose_is_turned_back_from_the_virtual_camera_with_its_uncertainty(fusion_model):
    observations = windows(np.random.default_rng(0))
    lifted = FusionMambaPose(fusion_model)(observations, CAMERAS, index=4)
    evidence, virtual_camera = build_evidence(observations)
    with torch.inference_mode():
        estimate = fusion_model(torch.from_numpy(evidence))
    positions = estimate.positions[:, 4].double().numpy()
    for person in range(2):
        np.testing.assert_allclose(
            lifted.joints[person] @ virtual_camera.rotation[person].T, positions[person], atol=1e-5
        )
    np.testing.assert_array_equal(lifted.joints[:, 0], 0.0)
    np.testing.assert_array_equal(lifted.covariance[:, 0], 0.0)
    variance = 4 * DETECTOR_GAP**2 * np.exp(2 * estimate.log_scale[:, 4, 1:].double().numpy())
    np.testing.assert_allclose(lifted.covariance[:, 1:], variance[..., None, None] * np.eye(3), rtol=1e-5)


def test_the_covariance_is_that_of_the_distribution_trained_for():
    """Density ~ exp(-error / scale) in space: lengths from the gamma distribution of shape 3, in any direction."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    error = rng.gamma(3.0, 0.05, (len(direction), 1)) * direction
    np.testing.assert_allclose(np.cov(error.T), 4 * 0.05**2 * np.eye(3), atol=2e-4)


def test_averaged_over_the_mirror_image_a_mirrored_person_is_mirrored(fusion_model):
    observations = windows(np.random.default_rng(1))
    negate = np.array([-1.0, 1.0])
    mirrored = Observations(
        observations.rays[:, :, list(FLIP)] * negate,
        observations.confidence,
        observations.interval,
        observations.previous_rays[:, :, list(FLIP)] * negate,
        observations.depth[:, :, list(FLIP)],
        observations.metric,
    )
    network = FusionMambaPose(fusion_model, flip_average=True)
    lifted, of_mirrored = network(observations, CAMERAS, 6), network(mirrored, CAMERAS, 6)
    expected = lifted.joints[:, list(FLIP)] * (-1.0, 1.0, 1.0)
    np.testing.assert_allclose(of_mirrored.joints, expected, atol=1e-4)
    np.testing.assert_allclose(of_mirrored.covariance, lifted.covariance[:, list(FLIP)], rtol=1e-3)
    assert np.abs(lifted.joints - FusionMambaPose(fusion_model)(observations, CAMERAS, 6).joints).max() > 1e-3


def test_everybody_is_lifted_as_if_alone(fusion_model):
    observations = windows(np.random.default_rng(2))
    network = FusionMambaPose(fusion_model)
    both = network(observations, CAMERAS, 6)
    alone = Observations(*(value[1:] for value in vars(observations).values()))
    np.testing.assert_allclose(network(alone, CAMERAS[1:], 6).joints[0], both.joints[1], atol=1e-5)


def test_what_is_in_a_file_follows_from_its_content(fusion_model, shared, tmp_path):
    ours = tmp_path / "weights.bin"
    save_mambapose(fusion_model, ours)
    network = load_lifting_network(ours)
    assert isinstance(network, FusionMambaPose)
    assert network.window == 9
    assert network.description.startswith("MambaPose width 16, depth ")
    observations = windows(np.random.default_rng(3))
    expected = FusionMambaPose(fusion_model)(observations, CAMERAS, 0).joints
    np.testing.assert_allclose(network(observations, CAMERAS, 0).joints, expected, atol=1e-6)
    published = shared / "golden" / "posemamba_tiny_d32_n2_T9_official_layout.bin"
    assert isinstance(load_lifting_network(published), OfficialPoseMamba)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_the_scan_is_called_what_users_call_it(fusion_model, backend):
    ours = MambaPose(replace(fusion_model.config, scan_backend=backend))
    assert FusionMambaPose(ours).description == f"MambaPose width 16, depth {ours.config.depth} on cpu, scan {backend}"
    published = PoseMamba(PoseMambaConfig(width=16, depth=1, window=9, scan_backend=backend))
    assert OfficialPoseMamba(published).description == f"PoseMamba width 16, depth 1 on cpu, scan {backend}"


def test_other_files_are_refused(fusion_model, tmp_path):
    save_mambapose(fusion_model, tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    for name, data in {"cut": content[: len(content) // 2], "empty": b"", "text": b"these are not weights"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=name):
            load_lifting_network(tmp_path / name)
    with pytest.raises(CheckpointError, match="No such file"):
        load_lifting_network(tmp_path / "nowhere")


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
    poses = np.stack([np.stack([(POSE + (0.02 * t, 0, 4)) for t in range(5)])])
    answer = OfficialPoseMamba(model, flip_average=flip)(observe(poses), [CAMERA], index=3)
    normalized = normalize_keypoints(torch.from_numpy(CAMERA.project(poses)).float(), 640, 480)
    with torch.inference_mode():
        lifted = flip_average(model, normalized) if flip else model(normalized)
    pose = lifted[:, 3].double().numpy()
    np.testing.assert_allclose(answer.joints, scale_to_adult(pose - pose[:, :1]), atol=1e-4)
    assert answer.joints.shape == (1, 17, 3)
    assert answer.covariance is None
    np.testing.assert_array_equal(answer.joints[:, 0], 0.0)


def test_the_published_network_takes_each_person_as_seen_by_their_camera():
    wide = Camera.from_fov(320, 240, np.radians(90.0))
    observations = observe(np.stack([POSE + (0, 0, 4), POSE + (1, 0, 5)])[:, None].repeat(3, axis=1))
    network = OfficialPoseMamba(small_model())
    both = network(observations, [CAMERA, wide], 2)
    for person, camera in enumerate((CAMERA, wide)):
        alone = Observations(
            observations.rays[[person]], observations.confidence[[person]], observations.interval[[person]]
        )
        np.testing.assert_allclose(network(alone, [camera], 2).joints[0], both.joints[person], atol=1e-5)


class Recording(OfficialPoseMamba):
    """Keeps the keypoints (P, T, 17, 2), pixels, that the network is given."""

    def __init__(self) -> None:
        super().__init__(small_model())
        self._model.register_forward_pre_hook(lambda _, inputs: self.asked.append(inputs[0].numpy()))
        self.asked: list[np.ndarray] = []

    @property
    def pixels(self) -> np.ndarray:
        return self.asked[-1] * 320 + (320, 240)


def pixels_at(x: float) -> np.ndarray:
    return CAMERA.project(POSE + (x, 0, 4))


def test_the_published_network_takes_missing_frames_to_lie_between_the_others():
    poses = POSE + np.array([(x, 0.0, 4.0) for x in (9.0, 0.0, 9.0, 9.0, 0.3)])[None, :, None]
    observations = observe(poses)
    observations.rays[0, [0, 2, 3]] = np.nan
    observations.interval[0] = (0.1, 0.1, 0.1, 0.2, 0.1)
    network = Recording()
    network(observations, [CAMERA], 4)
    # Before they came, they stood still.
    expected = np.stack([pixels_at(x) for x in (0.0, 0.0, 0.075, 0.225, 0.3)])
    np.testing.assert_allclose(network.pixels[0], expected, atol=1e-2)


def test_the_published_network_takes_a_joint_never_seen_to_be_at_its_parent():
    observations = observe(POSE + np.array([(0.0, 0.0, 4.0), (0.1, 0.0, 4.0)])[None, :, None])
    observations.rays[0, :, [3, 13]] = np.nan
    network = Recording()
    network(observations, [CAMERA], 1)
    np.testing.assert_allclose(network.pixels[0, :, 3], network.pixels[0, :, PARENTS[3]])
    observations.rays[:] = np.nan
    assert np.isfinite(network(observations, [CAMERA], 1).joints).all()


def test_a_released_checkpoint_lifts_a_synthetic_person(shared):
    """With random weights the pose means nothing, but it is metric and says where its scale is from."""
    model = load_official_checkpoint(shared / "golden" / "posemamba_tiny_d32_n2_T9_official_layout.bin")
    lifter = Lifter(OfficialPoseMamba(model))
    for i in range(3):
        truth = SCENE.render(i)
        frame = Frame(truth.stamp_ns, "cam", truth.image, truth.camera)
        lifted = lifter(frame, [PersonKeypoints(truth.keypoints[0], np.ones(17), "p1")], truth.flow)
    for skeleton in lifted.skeletons:
        assert skeleton.scale_source == "bone_prior"
        assert skeleton.joints.shape == (17, 3)
