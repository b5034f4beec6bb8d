"""A trained network as one of twice its width that computes the same, to train on from.

Source: Net2Net, Chen et al., ICLR 2016 (arXiv 1511.05641), section 2.2.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mambapose_ros.models.global_local_scan import DIRECTIONS
from mambapose_ros.models.mambapose import MambaPose

_SHARES = (0.25, 0.75)
"""Range of the first copy's share of what a feature gives: copies with equal shares would learn the same for ever."""

# Name of a parameter's last part -> (the dimension of features that it makes, that of features it reads), and into how
# many parts, doubled one by one, the first is divided; None = there is none.
_MADE_AND_READ: dict[str, tuple[int | None, int | None, int]] = {
    "embed.weight": (0, None, 1),
    "embed.bias": (0, None, 1),
    "spatial_embedding": (2, None, 1),
    "temporal_embedding": (2, None, 1),
    "norm.weight": (0, None, 1),
    "norm.bias": (0, None, 1),
    "in_proj.weight": (0, 1, 2),  # x and z
    "conv.weight": (0, None, 1),
    "conv.bias": (0, None, 1),
    "dt_proj": (1, 2, 1),
    "dt_bias": (1, None, 1),
    "A_log": (0, None, DIRECTIONS),
    "mixer.D": (0, None, DIRECTIONS),
    "out_proj.weight": (0, 1, 1),
    "mlp.0.weight": (0, 1, 1),
    "mlp.0.bias": (0, None, 1),
    "mlp.2.weight": (0, 1, 1),
    "mlp.2.bias": (0, None, 1),
    "head.0.weight": (0, None, 1),
    "head.0.bias": (0, None, 1),
    "head.1.weight": (None, 1, 1),
    "head.1.bias": (None, None, 1),
}


def widen(model: MambaPose, generator: torch.Generator) -> MambaPose:
    """The network of twice the width that answers as ``model`` does: every feature twice, and whoever reads it takes a
    share from each copy.

    Args:
        model: on the CPU, of a width that is a multiple of 16, by which the rank of the scan's steps doubles too.
        generator: of the shares.

    Raises:
        ValueError: the width is none.
    """
    if model.config.width % 16:
        raise ValueError(f"expected a width that is a multiple of 16, got {model.config.width}")
    wide = MambaPose(replace(model.config, width=2 * model.config.width))
    wide.load_state_dict({name: _widened(name, value, generator) for name, value in model.state_dict().items()})
    return wide


def _widened(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    if name.endswith("x_proj"):
        return _widened_scan_projection(value, generator)
    made, read, parts = next(rule for end, rule in _MADE_AND_READ.items() if name.endswith(end))
    if made is not None:
        value = _twice(value, made, parts)
    return value if read is None else _shared(value, read, generator)


def _widened_scan_projection(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Of ``[directions x rank + 2 N x inner]``, twice the rank; B and C, which all features share, stay."""
    inner = weight.shape[2]
    rank = inner // 32  # inner is twice the width, rank a sixteenth of it
    weight = torch.cat([weight[:, :rank], weight], dim=1)
    return _shared(weight, 2, generator)


def _twice(value: Tensor, dimension: int, parts: int) -> Tensor:
    divided = value.unflatten(dimension, (parts, -1))
    return torch.cat([divided, divided], dim=dimension + 1).flatten(dimension, dimension + 1)


def _shared(value: Tensor, dimension: int, generator: torch.Generator) -> Tensor:
    least, most = _SHARES
    share = least + (most - least) * torch.rand(value.shape, generator=generator)
    return torch.cat([share * value, (1.0 - share) * value], dim=dimension)
