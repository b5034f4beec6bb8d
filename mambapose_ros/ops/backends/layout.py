"""The layout of the compiled backends: the channels of a token lie side by side."""

from torch import Tensor


def token_major(tensor: Tensor, groups: int) -> Tensor:
    """`[batch x groups * channels x length]` to `[batch x length x groups x channels]`, a view."""
    return tensor.unflatten(1, (groups, -1)).permute(0, 3, 1, 2)


def channel_major(tensor: Tensor) -> Tensor:
    """`[batch x length x groups x channels]` to `[batch x groups * channels x length]`, a view."""
    return tensor.flatten(2).mT
