import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.evidence import NUM_CHANNELS
from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig
from mambapose_ros.training.widening import widen


def network(seed: int, width: int = 16, depth: int = 2) -> MambaPose:
    """With random values everywhere, also where a new network has zeros or ones."""
    torch.manual_seed(seed)
    model = MambaPose(MambaPoseConfig(width=width, depth=depth, window=9, drop_path=0.0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


@given(st.integers(0, 2**31 - 1), st.sampled_from([16, 32]))
@settings(max_examples=5, deadline=None)
def test_the_wide_network_answers_as_the_narrow_one(seed, width):
    narrow = network(seed, width)
    wide = widen(narrow, torch.Generator().manual_seed(seed))
    assert wide.config.width == 2 * width
    evidence = torch.randn(2, 9, 17, NUM_CHANNELS)
    with torch.no_grad():
        expected, answer = narrow(evidence), wide.eval()(evidence)
    torch.testing.assert_close(answer.positions, expected.positions, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(answer.log_scale, expected.log_scale, atol=2e-5, rtol=1e-4)


def test_copies_learn_different_things():
    wide = widen(network(0), torch.Generator().manual_seed(0))
    wide(torch.randn(2, 9, 17, NUM_CHANNELS)).positions.square().sum().backward()
    alike = [
        name
        for name, parameter in wide.named_parameters()
        if name.endswith(("mlp.0.weight", "out_proj.weight", "embed.weight", "spatial_embedding"))
        and torch.allclose(*parameter.grad.chunk(2, dim=-1 if name.endswith("embedding") else 0), rtol=1e-3)
    ]
    assert not alike


def test_a_width_whose_rank_does_not_double_is_refused():
    with pytest.raises(ValueError, match="multiple of 16, got 24"):
        widen(network(0, width=24), torch.Generator())
