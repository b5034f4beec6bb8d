import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import optical_flow

from mambapose_ros.errors import UserError
from mambapose_ros.perception.flow import DIS, FLOWS, RAFT, StreamFlow, load_raft, make_flow
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.weights import WeightsError

TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (160, 200, 3), dtype=np.uint8), (0, 0), 2.0)
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX)
MOVED = np.roll(TEXTURE, (3, 5), axis=(0, 1))  # everything goes 5 px right and 3 px down


class Drift:
    """Flow that is the same everywhere, in pixels of the images that it gets."""

    def __call__(self, current, previous):
        assert current.shape == previous.shape
        self.shape = current.shape
        return np.broadcast_to(np.float32([2.0, -1.0]), (*current.shape[:2], 2)).copy()


@pytest.fixture(scope="module")
def raft_file(tmp_path_factory):
    """Random parameters in a file as torchvision publishes them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft_small.pth"
    torch.save(optical_flow.raft_small(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def raft(raft_file):
    return RAFT(load_raft("raft_small", raft_file), updates=2)


# --- the stream -------------------------------------------------------------------------------------------------------


def test_flow_is_the_motion_since_the_previous_image():
    flow = make_flow("dis")
    assert flow(TEXTURE) is None
    found = flow(MOVED)
    assert found.shape == (160, 200, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.median(found[20:-20, 20:-20], axis=(0, 1)), [5.0, 3.0], atol=0.2)


def test_wide_images_are_scaled_down_and_their_flow_up():
    flow = make_flow("dis", width=100)
    assert flow(TEXTURE) is None
    found = flow(MOVED)
    assert found.shape == (160, 200, 2)
    np.testing.assert_allclose(np.median(found[20:-20, 20:-20], axis=(0, 1)), [5.0, 3.0], atol=0.3)


@given(height=st.integers(80, 150), width=st.integers(20, 80), limit=st.integers(20, 90))
@settings(max_examples=40, deadline=None)
def test_scaling_multiplies_vectors_by_the_ratio_of_the_sizes(height, width, limit):
    pairs, image = Drift(), np.resize(TEXTURE, (height, width, 3))
    flow = StreamFlow(pairs, limit)
    flow(image)
    found = flow(image)
    rows, columns = pairs.shape[:2]
    assert columns == min(width, limit)
    assert abs(rows - height * columns / width) <= 0.5
    expected = np.broadcast_to([2.0 * width / columns, -1.0 * height / rows], (height, width, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_no_flow_across_a_reset_or_a_change_of_size():
    flow = make_flow("dis")
    flow(TEXTURE)
    assert flow(TEXTURE[:100]) is None
    assert flow(TEXTURE[:100]) is not None
    flow.reset()
    assert flow(TEXTURE[:100]) is None


def test_no_flow_between_sizes_that_scale_to_the_same():
    flow = make_flow("dis", width=100)
    flow(TEXTURE)
    assert flow(cv2.resize(TEXTURE, (400, 320))) is None


def test_images_may_reuse_one_buffer():
    flow, buffer = make_flow("dis"), TEXTURE.copy()
    flow(buffer)
    buffer[:] = MOVED
    np.testing.assert_allclose(np.median(flow(buffer)[20:-20, 20:-20], axis=(0, 1)), [5.0, 3.0], atol=0.2)


def test_slivers_have_no_flow():
    flow = make_flow("dis")
    flow(TEXTURE[:15])
    assert flow(TEXTURE[:15]) is None


def test_no_flow_across_a_cut_and_flow_again_after_it():
    one, other = SyntheticScene("walk", seed=0), SyntheticScene("walk", seed=5)  # the two rooms most alike of six
    flow = make_flow("dis")
    images = [scene.render(index).image for scene, index in ((one, 19), (one, 20), (other, 20), (other, 21))]
    answers = [flow(image) for image in images]
    assert [answer is not None for answer in answers] == [False, True, False, True]


@pytest.mark.parametrize(("seed", "fps"), [(2, 10), (6, 3)])
def test_fast_motion_and_another_exposure_are_no_cuts(seed, fps):
    scene = SyntheticScene("run", seed=seed, fps=fps, moving_camera=True)
    flow = make_flow("dis")
    images = [scene.render(index).image for index in (11, 12)]
    answers = [flow(image) for image in (*images, cv2.convertScaleAbs(images[1], alpha=1.3, beta=10))]
    assert [answer is not None for answer in answers] == [False, True, True]


def test_blank_images_have_no_flow():
    flow, black = make_flow("dis"), np.zeros_like(TEXTURE)
    flow(TEXTURE)
    assert flow(black) is None
    assert flow(TEXTURE) is None
    assert flow(MOVED) is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("motion", "bound"), [("walk", 0.45), ("squat", 0.3), ("turn", 0.4), ("wave", 0.1), ("run", 1.0)]
)
def test_dis_follows_a_person(motion, bound, seed):
    """Median end-point error on the person at 640x480. Measured: up to 0.38 px walking, 0.20 squatting,
    0.32 turning, 0.04 waving and 0.97 running."""
    scene, flow, errors = SyntheticScene(motion, seed=seed), make_flow("dis"), []
    for index in range(10, 15):
        truth = scene.render(index)
        found = flow(truth.image)
        if found is not None:
            moving = (truth.flow != 0.0).any(axis=2) & truth.flow_valid  # the camera and the room stand still
            errors.append(np.linalg.norm(found - truth.flow, axis=2)[moving])
    assert len(errors) == 4
    assert np.median(np.concatenate(errors)) < bound


# --- RAFT -------------------------------------------------------------------------------------------------------------


def test_raft_sees_what_torchvisions_transforms_give(raft):
    image = np.random.default_rng(1).integers(0, 256, (136, 160, 3), dtype=np.uint8)
    transforms = optical_flow.Raft_Small_Weights.C_T_V2.transforms()
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    torch.testing.assert_close(raft.prepare(image), transforms(tensor, tensor)[0], atol=1e-5, rtol=0.0)


@given(height=st.integers(16, 300), width=st.integers(16, 300))
@settings(max_examples=30, deadline=None)
def test_padding_keeps_the_image_and_is_cut_off_the_flow(height, width):
    """A stand-in network tells each pixel's own colour, so that a shift by one pixel would show."""
    sizes = []

    class Echo(torch.nn.Module):
        def forward(self, now, before, num_flow_updates):
            sizes.append(now.shape[2:])
            return [now[:, :2]]

    image = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    flow = RAFT(Echo(), updates=1)(image, image)
    assert flow.shape == (height, width, 2)
    np.testing.assert_allclose(flow, 1.0 - image[..., :2] / 127.5, atol=1e-6)
    assert all(side % 8 == 0 and side >= 128 for size in sizes for side in size)
    assert all(
        padded - side < 8 or padded == 128 for size in sizes for padded, side in zip(size, (height, width), strict=True)
    )


def test_raft_flows_from_current_to_previous_with_the_sign_turned(raft, raft_file):
    network = optical_flow.raft_small(weights=None).eval()
    network.load_state_dict(torch.load(raft_file, weights_only=True))
    images = [image[:136] for image in (MOVED, TEXTURE)]
    transforms = optical_flow.Raft_Small_Weights.C_T_V2.transforms()
    current, previous = transforms(*(torch.from_numpy(image.copy()).permute(2, 0, 1)[None] for image in images))
    with torch.inference_mode():
        expected = -network(current, previous, num_flow_updates=2)[-1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(raft(*images), expected, atol=1e-4)
    assert np.abs(expected).max() > 1e-2


def test_raft_through_its_name_takes_a_file_and_small_images(raft_file):
    flow = make_flow("raft_small", weights=str(raft_file), width=100, updates=1)
    assert flow(TEXTURE) is None
    found = flow(MOVED)
    assert found.shape == (160, 200, 2)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU")
def test_raft_is_the_same_on_a_gpu(raft_file):
    answers = [RAFT(load_raft("raft_small", raft_file), 4, device)(MOVED, TEXTURE) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(answers[1], answers[0], atol=0.05)


def test_a_missing_library_is_told_before_the_first_image(raft_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(UserError, match=r"flow 'raft_small' cannot run here.*torchvision.*dis and off remain"):
        make_flow("raft_small", weights=str(raft_file))


def test_files_that_are_not_rafts_are_refused(tmp_path, raft_file):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"x": Evil()}, evil := tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil.pth.*nothing in it was run.*mambapose download raft-small"):
        load_raft("raft_small", evil)
    assert not (tmp_path / "ran").exists()
    (cut := tmp_path / "cut.pth").write_bytes(raft_file.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_raft("raft_small", cut)
    (bare := tmp_path / "bare.pth").write_bytes(b"\x80\x02.")
    with pytest.raises(WeightsError, match=r"torchvision's raft_small, but it cannot be read \(pop from empty list\)"):
        load_raft("raft_small", bare)
    with pytest.raises(WeightsError, match=r"torchvision's raft_large, but others came.*mambapose download raft-large"):
        load_raft("raft_large", raft_file)
    torch.save([1, 2], listing := tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="others came"):
        load_raft("raft_small", listing)


# --- names ------------------------------------------------------------------------------------------------------------


def test_estimators_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert make_flow("off") is None
    assert isinstance(make_flow("dis"), StreamFlow)
    with pytest.raises(ValueError, match="dis"):
        make_flow("magic")
    for name in ("raft_small", "raft_large"):
        assert name in FLOWS
        with pytest.raises(WeightsError, match=f"mambapose download {name.replace('_', '-')}"):
            make_flow(name)


def test_numbers_that_make_no_sense_are_refused(raft_file):
    with pytest.raises(ValueError, match="updates"):
        make_flow("raft_small", weights=str(raft_file), updates=-1)
    with pytest.raises(ValueError, match="width"):
        make_flow("dis", width=8)
    assert DIS()(MOVED, TEXTURE).shape == (160, 200, 2)
