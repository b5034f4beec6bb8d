"""PoseMamba: 2D keypoints of a window of frames to 3D poses, by selective scans alone.

Source: Huang et al., "PoseMamba: Monocular 3D Human Pose Estimation with Bidirectional
Global-Local Spatio-Temporal State Space Model", arXiv 2408.03540.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from mambapose_ros.models.global_local_scan import GlobalLocalScan, scan_orders
from mambapose_ros.ops.layer_norm import LayerNorm
from mambapose_ros.ops.linear import Linear
from mambapose_ros.skeleton import FLIP, NUM_JOINTS

_MLP_RATIO = 2  # features of a block's hidden MLP layer over its width


@dataclass(frozen=True)
class PoseMambaConfig:
    """The shape of a PoseMamba network.

    Attributes:
        in_channels: channels per joint of the input; the published networks have 2 (x, y).
        out_channels: channels per joint of the output; the published networks have 3 (x, y, z).
        window: most frames that one window may have.
        width: features per token, C in the paper.
        depth: pairs of a spatial and a temporal block.
        drop_path: probability that a residual branch of the last pair of blocks is dropped
            in training; it grows linearly from 0 at the first.
        state_size: states per channel of the scan, N in the paper.
        scan_backend: `backend` of `mambapose_ros.ops.selective_scan`.
    """

    in_channels: int = 2
    out_channels: int = 3
    window: int = 243
    width: int = 64
    depth: int = 10
    drop_path: float = 0.2
    state_size: int = 16
    scan_backend: str = "auto"


PRESETS: Mapping[str, PoseMambaConfig] = MappingProxyType(
    {
        "S": PoseMambaConfig(width=64, depth=10),
        "B": PoseMambaConfig(width=128, depth=10),
        "L": PoseMambaConfig(width=128, depth=20),
    }
)
"""The published variants: 1,470,211, 4,742,659 and 9,450,499 parameters."""


class PoseMamba(nn.Module):
    """Lifts a window of 2D poses to 3D, a pose for every frame.

    Args:
        config: shape of the network; `PRESETS` has the published ones.
    """

    def __init__(self, config: PoseMambaConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = PoseMambaTrunk(config)
        self.head = PoseMambaHead(config.width, config.out_channels)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lifts `keypoints`.

        Args:
            keypoints: normalised 2D poses (see `normalize_keypoints`), one window per person,
                `[batch x frames x 17 x in_channels]`, at most `config.window` frames.

        Returns:
            3D poses in the unit of the input, `[batch x frames x 17 x out_channels]`.

        Raises:
            ValueError: wrong number of joints, channels or frames.
        """
        return self.head(self.trunk(keypoints))


class PoseMambaTrunk(nn.Module):
    """All of PoseMamba but the head: keypoints to features per frame and joint."""

    def __init__(self, config: PoseMambaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed = Linear(config.in_channels, width)
        self.spatial_embedding = nn.Parameter(torch.zeros(1, NUM_JOINTS, width))
        self.temporal_embedding = nn.Parameter(torch.zeros(1, config.window, width))
        drop_path = torch.linspace(0, config.drop_path, config.depth).tolist()
        self.spatial_blocks = nn.ModuleList(PoseMambaBlock(config, rate) for rate in drop_path)
        self.temporal_blocks = nn.ModuleList(PoseMambaBlock(config, rate) for rate in drop_path)
        # One pair of norms serves every depth.
        self.spatial_norm = LayerNorm(width, eps=1e-6)
        self.temporal_norm = LayerNorm(width, eps=1e-6)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Features, `[batch x frames x 17 x width]`, of `[batch x frames x 17 x in_channels]`.

        Raises:
            ValueError: wrong number of joints, channels or frames.
        """
        self._check(keypoints)
        frames = keypoints.shape[1]
        orders = scan_orders(frames, NUM_JOINTS, keypoints.device)
        x = self.embed(keypoints) + self.spatial_embedding
        for i, (spatial, temporal) in enumerate(zip(self.spatial_blocks, self.temporal_blocks, strict=True)):
            x = self.spatial_norm(spatial(x, orders))
            if i == 0:
                x = x + self.temporal_embedding[:, :frames, None]
            x = self.temporal_norm(temporal(x, orders))
        return x

    def _check(self, keypoints: Tensor) -> None:
        joints, channels, window = NUM_JOINTS, self.config.in_channels, self.config.window
        got = list(keypoints.shape)
        if keypoints.ndim != 4 or got[2] != joints:
            raise ValueError(
                f"keypoints must be [batch x frames x {joints} x {channels}] with the "
                f"{joints} Human3.6M joints, got {got}; mambapose_ros.skeleton maps other "
                "joint sets to these"
            )
        if got[3] != channels:
            raise ValueError(
                f"keypoints must have {channels} channels per joint, got {got[3]}; drop or add "
                "channels, or build the network with PoseMambaConfig(in_channels=...)"
            )
        if not 1 <= got[1] <= window:
            raise ValueError(
                f"a window must have 1 to {window} frames, got {got[1]}; keep the newest "
                f"{window}, or build the network with PoseMambaConfig(window=...)"
            )


class PoseMambaBlock(nn.Module):
    """A pre-norm residual block: token mixing by scans, then an MLP.

    Args:
        config: shape of the network.
        drop_path: probability that a residual branch is dropped for a window in training.
    """

    def __init__(self, config: PoseMambaConfig, drop_path: float) -> None:
        super().__init__()
        hidden = _MLP_RATIO * config.width
        self.mixer_norm = LayerNorm(config.width, eps=1e-6)
        self.mixer = GlobalLocalScan(config.width, config.state_size, config.scan_backend)
        self.mlp_norm = LayerNorm(config.width, eps=1e-6)
        self.mlp = nn.Sequential(Linear(config.width, hidden), nn.GELU(), Linear(hidden, config.width))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, orders: Tensor) -> Tensor:
        """`[batch x frames x 17 x width]` to the same, visiting its tokens in `orders`."""
        x = x + self.drop_path(self.mixer(self.mixer_norm(x), orders))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class PoseMambaHead(nn.Sequential):
    """Features to coordinates: `[... x width]` to `[... x out_channels]`."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__(LayerNorm(width, eps=1e-5), Linear(width, out_channels))


class DropPath(nn.Module):
    """Drops the whole branch for random samples of a batch while training.

    Source: stochastic depth, arXiv 1603.09382.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)


def normalize_keypoints(xy: Tensor, width: int, height: int) -> Tensor:
    """Pixels to PoseMamba's unit: x in [-1, 1], y centred and on the same scale.

    Args:
        xy: pixel coordinates, `[... x 2]`.
        width: width of the image in pixels; it scales both coordinates.
        height: height of the image in pixels.
    """
    return xy * (2 / width) - xy.new_tensor([1.0, height / width])


def flip_average(model: Callable[[Tensor], Tensor], keypoints: Tensor) -> Tensor:
    """The mean of a lifter's answers to a window and to its mirror image, in one batch.

    Args:
        model: maps `[batch x frames x 17 x channels]` to `[batch x frames x 17 x outputs]`;
            channel 0 is x on both sides, and mirroring changes no other channel.
        keypoints: the windows.

    Returns:
        Poses, `[batch x frames x 17 x outputs]`.
    """
    plain, mirrored = model(torch.cat([keypoints, _mirror(keypoints)])).chunk(2)
    return (plain + _mirror(mirrored)) / 2


def _mirror(poses: Tensor) -> Tensor:
    """Poses with x negated and left and right joints exchanged."""
    exchanged = poses[:, :, FLIP]
    return torch.cat([-exchanged[..., :1], exchanged[..., 1:]], dim=-1)
