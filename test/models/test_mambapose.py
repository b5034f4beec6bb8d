import pytest
import torch

from mambapose_ros.evidence import NUM_CHANNELS
from mambapose_ros.models import CheckpointError
from mambapose_ros.models.mambapose import (
    MAMBAPOSE_PRESETS,
    MambaPose,
    MambaPoseConfig,
    load_mambapose,
    save_mambapose,
)

SMALL = MambaPoseConfig(width=16, depth=1, window=12)


def network(config: MambaPoseConfig = SMALL) -> MambaPose:
    torch.manual_seed(0)
    return MambaPose(config).eval()


@pytest.mark.parametrize("frames", [1, 5, 12])
def test_a_pose_and_a_scale_for_every_frame_of_a_window_of_any_length(frames):
    estimate = network()(torch.randn(2, frames, 17, NUM_CHANNELS))
    assert estimate.positions.shape == (2, frames, 17, 3)
    assert estimate.log_scale.shape == (2, frames, 17)
    assert (estimate.positions[:, :, 0] == 0).all()


def test_the_newest_frame_comes_first_inside_so_that_its_embedding_is_the_same_in_every_window():
    model = network()
    seen = []
    model.trunk.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    evidence = torch.randn(1, 5, 17, NUM_CHANNELS)
    estimate = model(evidence)
    torch.testing.assert_close(seen[0][:, 0], evidence[:, -1])
    # And the answer is in the order of the evidence again.
    with torch.no_grad():
        changed = evidence.clone()
        changed[:, -1] += 1.0
        moved = (model(changed).positions - estimate.positions).norm(dim=-1).mean(dim=(0, 2))
    assert moved.argmax() == 4


@pytest.mark.parametrize("size", MAMBAPOSE_PRESETS)
def test_shipped_sizes_fit_in_six_megabytes(size):
    parameters = sum(p.numel() for p in MambaPose(MAMBAPOSE_PRESETS[size]).parameters())
    assert 4 * parameters < 6e6


def test_weights_survive_the_file(tmp_path):
    model = network()
    save_mambapose(model, tmp_path / "weights.safetensors", recipe="test")
    loaded = load_mambapose(tmp_path / "weights.safetensors")
    assert loaded.config == SMALL
    evidence = torch.randn(1, 6, 17, NUM_CHANNELS)
    with torch.no_grad():
        torch.testing.assert_close(loaded(evidence).positions, model(evidence).positions)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: expected MambaPose weights"):
        load_mambapose(path)


def test_weights_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    model = network()
    save_mambapose(model, path)
    from safetensors.torch import load_file, save_file

    save_file(load_file(path), path, metadata={"mambapose": '{"width": 32, "depth": 1, "window": 12}'})
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_mambapose(path)
