"""Calls that are replayed as CUDA graphs."""

import pytest
import torch

from mambapose_ros.training.cuda_graphs import GraphedStep

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and torch finds none")


def test_replays_do_what_calls_do():
    """Whatever the shape, in any order, with what the function keeps and with what is changed in place beside it."""
    calls = []
    total = torch.zeros((), device="cuda")
    factor = torch.ones((), device="cuda")

    def add(values: torch.Tensor) -> torch.Tensor:
        calls.append(values.shape)
        total.add_(factor * values.to("cuda").sum())
        return total.clone()

    step = GraphedStep(add)
    expected = 0.0
    for number, size in enumerate((3, 3, 5, 3, 5, 5, 3)):
        factor.fill_(number)
        values = torch.full((size,), number + 1.0)
        expected += number * size * (number + 1.0)
        assert step(values).item() == expected
    assert calls == [(3,), (3,), (5,), (5,)]  # each shape once for real and once to be captured


def test_training_by_graphs_is_training():
    torch.manual_seed(0)
    graphed, plain = torch.nn.Linear(4, 2).cuda(), torch.nn.Linear(4, 2).cuda()
    plain.load_state_dict(graphed.state_dict())

    def trainer(model: torch.nn.Module):
        optimizer = torch.optim.AdamW(model.parameters(), 0.01, capturable=True)

        def step(x: torch.Tensor) -> torch.Tensor:
            model.zero_grad(set_to_none=True)
            loss = model(x.to("cuda")).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    step, reference = GraphedStep(trainer(graphed)), trainer(plain)
    for size in (3, 3, 7, 3, 7, 7):
        x = torch.randn(size, 4)
        torch.testing.assert_close(step(x), reference(x))
    for one, other in zip(graphed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)
