"""The token mixer of PoseMamba's blocks on the compiled CPU kernels, for inference.

Each function does in one pass what takes several in plain torch;
`mambapose_ros.models.global_local_scan` states the same computation plainly. Tensors are contiguous
float32 on the CPU, but for the row length of `x` and `z`; no gradients.
"""

from typing import cast

import torch
from torch import Tensor, nn

from mambapose_ros.ops import native_library


def convolve(x: Tensor, conv: nn.Conv2d, neighbours: Tensor) -> Tensor:
    """Depthwise 3x3 convolution and SiLU, and the same plus each joint's neighbour.

    Args:
        x: `[batch x frames x joints x channels]`; rows may be part of longer ones.
        conv: the convolution over (frame, joint), with bias.
        neighbours: the joint that is added to each joint, `[joints]` int32.

    Returns:
        With neighbour and without, `[2 x batch x frames * joints x channels]`.
    """
    batch, frames, joints, channels = x.shape
    y = x.new_empty(2, batch, frames * joints, channels)
    native_library.call(
        "convolution",
        x=x,
        weight=conv.weight,
        bias=cast(Tensor, conv.bias),
        neighbours=neighbours,
        y=y,
        batch=batch,
        frames=frames,
        joints=joints,
        channels=channels,
        row=x.stride(2),
    )
    return y


def gate(y: Tensor, z: Tensor, norm: nn.LayerNorm) -> Tensor:
    """norm(y) * SiLU(z).

    Args:
        y: `[batch x length x channels]`.
        z: `[batch x frames x joints x channels]`; rows may be part of longer ones.
        norm: normalises the channels.

    Returns:
        `[batch x frames x joints x channels]`.
    """
    out = torch.empty_like(z, memory_format=torch.contiguous_format)
    native_library.call(
        "gate",
        y=y,
        z=z,
        weight=norm.weight,
        bias=norm.bias,
        out=out,
        tokens=out[..., 0].numel(),
        channels=out.shape[-1],
        row=z.stride(2),
        epsilon=norm.eps,
    )
    return out
