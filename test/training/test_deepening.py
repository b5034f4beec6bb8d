"""Networks of more blocks from those of fewer."""

from dataclasses import replace

import pytest
import torch

from mambapose_ros.evidence import NUM_CHANNELS
from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig
from mambapose_ros.training.deepening import deepen

SHALLOW = MambaPoseConfig(width=32, depth=2, drop_path=0.0)


@pytest.fixture
def shallow() -> MambaPose:
    torch.manual_seed(0)
    return MambaPose(SHALLOW).eval()


def test_blocks_are_copies_of_which_the_first_alone_adds_something(shallow):
    deep = deepen(shallow, 5).eval()
    assert deep.config == replace(SHALLOW, depth=5)
    for kind in ("spatial_blocks", "temporal_blocks"):
        originals, copies = getattr(shallow.trunk, kind), getattr(deep.trunk, kind)
        for number, original, adds in ((0, 0, True), (1, 0, False), (2, 0, False), (3, 1, True), (4, 1, False)):
            assert torch.equal(copies[number].mixer.in_proj.weight, originals[original].mixer.in_proj.weight)
            assert torch.equal(copies[number].mixer.A_log, originals[original].mixer.A_log)
            assert copies[number].mixer.out_proj.weight.any() == adds
            assert copies[number].mlp[2].weight.any() == adds


def test_it_answers_the_same_where_norms_change_nothing(shallow):
    """The norms that all blocks share act once more after each new block: with offset 0 and weight 1, nothing is left
    for them to do."""
    evidence = torch.randn(2, 9, 17, NUM_CHANNELS)
    with torch.no_grad():
        expected = shallow(evidence).positions
        torch.testing.assert_close(deepen(shallow, 4).eval()(evidence).positions, expected, rtol=0.0, atol=1e-4)


def test_four_blocks_become_ten():
    torch.manual_seed(0)
    deep = deepen(MambaPose(replace(SHALLOW, depth=4)), 10)
    adds = [block.mixer.out_proj.weight.any().item() for block in deep.trunk.temporal_blocks]
    assert adds == [True, False, False, True, False, True, False, False, True, False]


def test_the_same_depth_is_the_same_network(shallow):
    same = deepen(shallow, 2).state_dict()
    assert all(torch.equal(same[name], value) for name, value in shallow.state_dict().items())


def test_fewer_blocks_are_refused(shallow):
    with pytest.raises(ValueError, match="expected a depth of 2 or more, got 1"):
        deepen(shallow, 1)
