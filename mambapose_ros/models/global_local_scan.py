"""PoseMamba's token mixer: four selective scans through space and time, global and local.

Source: PoseMamba, arXiv 2408.03540, section 3 (bidirectional global-local spatio-temporal scan),
after the 2D selective scan of VMamba, arXiv 2401.10166.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambapose_ros.ops import native_mixer
from mambapose_ros.ops.backends import native
from mambapose_ros.ops.cross_scan import cross_scan
from mambapose_ros.ops.layer_norm import LayerNorm
from mambapose_ros.ops.linear import Linear, is_plain_cpu_inference, linear
from mambapose_ros.ops.native_library import BLOCK
from mambapose_ros.ops.scan import resolve_backend

DIRECTIONS = 4
LOCAL_NEIGHBOURS = (0, 0, 1, 2, 3, 0, 4, 5, 6, 8, 11, 12, 13, 8, 14, 15, 16)
"""The joint that is added to each joint before the frame-major scans.

The paper calls this a reordering; in the published network it is an additive gather. It is
neither a permutation nor the table of parents.
"""


def scan_orders(frames: int, joints: int, device: torch.device) -> Tensor:
    """The tokens of a window as each direction visits them; a token's number is frame * joints + joint.

    Returns:
        `[4 x frames * joints]` int32: frame by frame, joint by joint, and those two reversed.
    """
    tokens = torch.arange(frames * joints, dtype=torch.int32, device=device).view(frames, joints)
    forward = torch.stack([tokens.flatten(), tokens.t().flatten()])
    return torch.cat([forward, forward.flip(1)])


class GlobalLocalScan(nn.Module):
    """Mixes the tokens of a window by a convolution and four selective scans, gated.

    Args:
        width: features per token, in and out.
        state_size: states per channel of the scans.
        scan_backend: `backend` of `selective_scan`.
    """

    def __init__(self, width: int, state_size: int, scan_backend: str) -> None:
        super().__init__()
        inner, rank = 2 * width, math.ceil(width / 16)
        self.scan_backend = scan_backend
        self.in_proj = Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner)
        self.x_proj = nn.Parameter(torch.empty(DIRECTIONS, rank + 2 * state_size, inner))
        self.dt_proj = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(DIRECTIONS, inner))
        self.A_log = nn.Parameter(torch.empty(DIRECTIONS * inner, state_size))
        self.D = nn.Parameter(torch.ones(DIRECTIONS * inner))
        self.out_norm = LayerNorm(inner, eps=1e-5)
        self.out_proj = Linear(inner, width, bias=False)
        neighbours = torch.tensor(LOCAL_NEIGHBOURS, dtype=torch.int32)
        self.neighbours: Tensor
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Mamba's initialisation of the scan: steps of 0.001 to 0.1, states that decay at 1..N."""
        _, inner, rank = self.dt_proj.shape
        nn.init.uniform_(self.x_proj, -(inner**-0.5), inner**-0.5)
        nn.init.uniform_(self.dt_proj, -(rank**-0.5), rank**-0.5)
        step = torch.empty_like(self.dt_bias).uniform_(math.log(1e-3), math.log(0.1)).exp()
        self.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
        self.A_log.copy_(torch.arange(1, self.A_log.shape[1] + 1).log().expand_as(self.A_log))

    def forward(self, x: Tensor, orders: Tensor) -> Tensor:
        """Mixes `x`, `[batch x frames x joints x width]`, visiting its tokens in `orders`."""
        x, z = self.in_proj(x).chunk(2, dim=-1)
        if self._can_fuse(x):
            return self.out_proj(self._mix_fused(x, z, orders))
        x = F.silu(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)).to(self.A_log.dtype)
        sources = torch.stack([x + x[:, :, self.neighbours], x]).flatten(2, 3)
        y = self._scan(sources, orders).view_as(x)
        return self.out_proj(self.out_norm(y) * F.silu(z))

    def _can_fuse(self, x: Tensor) -> bool:
        """Whether the compiled CPU kernels can take it: plain inference, whole vectors."""
        if not is_plain_cpu_inference(x) or x.shape[-1] % BLOCK or self.A_log.shape[1] % BLOCK:
            return False
        return resolve_backend(self.scan_backend, x.device, x.dtype) is native

    def _mix_fused(self, x: Tensor, z: Tensor, orders: Tensor) -> Tensor:
        """What `forward` does between its projections, by fused kernels."""
        y = self._scan(native_mixer.convolve(x, self.conv, self.neighbours), orders)
        return native_mixer.gate(y, z, self.out_norm)

    def _scan(self, sources: Tensor, orders: Tensor) -> Tensor:
        """The sum of the four scans, `[batch x tokens x inner]`, in float32.

        Args:
            sources: `[2 x batch x tokens x inner]`, with neighbours for directions 0 and 2, without for 1 and 3.
            orders: of the scans.
        """
        projections = (self.x_proj[0::2].flatten(0, 1), self.x_proj[1::2].flatten(0, 1))
        with torch.autocast(sources.device.type, enabled=False):
            projected = torch.stack([linear(sources[i], projections[i]) for i in range(2)])
            return cross_scan(
                sources,
                projected,
                orders,
                self.dt_proj,
                self.dt_bias,
                -torch.exp(self.A_log),
                self.D,
                backend=self.scan_backend,
            )
