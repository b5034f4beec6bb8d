"""MambaPose: the PoseMamba trunk on keypoints, flow and depth, to poses in metres with their uncertainty."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mambapose_ros.evidence import NUM_CHANNELS, mirror_evidence
from mambapose_ros.models.checkpoints import CheckpointError
from mambapose_ros.models.pose_mamba import PoseMambaConfig, PoseMambaHead, PoseMambaTrunk
from mambapose_ros.skeleton import FLIP

INTERVAL_90 = 5.3223
"""90 % of errors are below this times the scale: the quantile of the gamma distribution of shape 3, which the length of
a vector has whose density falls with exp(-length / scale) in three dimensions."""

_LOG_SCALE_RANGE = (-7.0, 1.0)  # 1 mm to 2.7 m: further out, the loss would only reward extremes


@dataclass(frozen=True)
class MambaPoseConfig:
    """The shape of a MambaPose network.

    Attributes:
        width: features per token.
        depth: pairs of a spatial and a temporal block.
        window: most frames that one window may have.
        drop_path: as in ``PoseMambaConfig``.
        scan_backend: ``backend`` of ``mambapose_ros.ops.selective_scan``.
    """

    width: int = 64
    depth: int = 6
    window: int = 243
    drop_path: float = 0.1
    scan_backend: str = "auto"

    def trunk(self) -> PoseMambaConfig:
        """The trunk of this shape: evidence channels in; three coordinates and a scale out."""
        return PoseMambaConfig(
            in_channels=NUM_CHANNELS,
            out_channels=4,
            window=self.window,
            width=self.width,
            depth=self.depth,
            drop_path=self.drop_path,
            scan_backend=self.scan_backend,
        )


MAMBAPOSE_PRESETS: Mapping[str, MambaPoseConfig] = MappingProxyType(
    {"XS": MambaPoseConfig(width=64, depth=4, drop_path=0.0), "S": MambaPoseConfig(width=64, depth=10, drop_path=0.0)}
)
"""XS for CPUs; S for GPUs, as large as the published PoseMamba-S. No training window comes twice, so that nothing is
dropped."""


class PoseEstimate(NamedTuple):
    """Poses and how far off they may be.

    Attributes:
        positions: metres from the pelvis, axes of the virtual camera, `[batch x frames x 17 x 3]`.
        log_scale: log of the scale (metres) of the error's distribution, density ~ exp(-error / scale),
            `[batch x frames x 17]`; ``INTERVAL_90 * exp(log_scale)`` holds 90 % of errors.
    """

    positions: Tensor
    log_scale: Tensor


class MambaPose(nn.Module):
    """Lifts windows of evidence (``mambapose_ros.evidence``) to metric poses, one for every frame.

    Windows may have any length up to the configured one, and any frame of the answer may be used: the newest, or one
    some frames back.

    Args:
        config: shape of the network; ``MAMBAPOSE_PRESETS`` has those that ship.
    """

    def __init__(self, config: MambaPoseConfig) -> None:
        super().__init__()
        self.config = config
        trunk = config.trunk()
        self.trunk = PoseMambaTrunk(trunk)
        self.head = PoseMambaHead(trunk.width, trunk.out_channels)

    def forward(self, evidence: Tensor) -> PoseEstimate:
        """Lifts `evidence`, `[batch x frames x 17 x NUM_CHANNELS]`, oldest frame first.

        Raises:
            ValueError: wrong number of joints, channels or frames.
        """
        # Newest first inside, so that the newest frame has the same temporal embedding in windows of any length.
        output = self.head(self.trunk(evidence.flip(1))).flip(1).float()
        positions = output[..., :3] - output[..., :1, :3]
        return PoseEstimate(positions, output[..., 3].clamp(*_LOG_SCALE_RANGE))


class MirrorAverage(nn.Module):
    """The mean of a MambaPose network's answers to windows and to their mirror images, in one batch: somewhat more
    accurate, at twice the cost.

    Args:
        model: maps evidence to a ``PoseEstimate``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, evidence: Tensor) -> PoseEstimate:
        """As ``MambaPose.forward``."""
        positions, log_scale = self.model(torch.cat([evidence, mirror_evidence(evidence)]))
        plain, mirrored = positions.chunk(2)
        plain_scale, mirrored_scale = log_scale.chunk(2)
        flip = list(FLIP)
        mirrored = mirrored[:, :, flip] * mirrored.new_tensor([-1.0, 1.0, 1.0])
        return PoseEstimate(0.5 * (plain + mirrored), 0.5 * (plain_scale + mirrored_scale[:, :, flip]))


def laplace_loss(estimate: PoseEstimate, target: Tensor) -> Tensor:
    """Negative log-likelihood of the target, less a constant, per joint: error / scale + 3 log scale.

    Args:
        estimate: of the network.
        target: metres from the pelvis, `[batch x frames x 17 x 3]`.

    Returns:
        `[batch x frames x 17]`.
    """
    error = torch.linalg.vector_norm(estimate.positions - target, dim=-1)
    return error * torch.exp(-estimate.log_scale) + 3.0 * estimate.log_scale


def save_mambapose(model: MambaPose, path: str | PathLike[str], recipe: str = "") -> None:
    """Write a network as safetensors; its shape and ``recipe``, how it was trained, go into the file's metadata."""
    shape = {name: value for name, value in asdict(model.config).items() if name != "scan_backend"}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"mambapose": json.dumps(shape), "recipe": recipe})


def read_recipe(path: str | PathLike[str]) -> str:
    """What ``save_mambapose`` was told of how the network in a file was trained; JSON from ``mambapose train``, and
    empty when nothing was told. ``load_mambapose`` says whether the file is one."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("recipe", "")


def load_mambapose(path: str | PathLike[str], scan_backend: str = "auto") -> MambaPose:
    """Read a network that ``save_mambapose`` wrote.

    Args:
        path: the file.
        scan_backend: ``backend`` of ``mambapose_ros.ops.selective_scan``.

    Returns:
        The network in eval mode on the CPU.

    Raises:
        CheckpointError: when the file is missing, damaged, or no such network.
    """
    expected = f"{path}: expected MambaPose weights (.safetensors) as `mambapose train` writes"
    if not Path(path).is_file():
        raise CheckpointError(f"{expected}, there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        config = replace(MambaPoseConfig(**json.loads(metadata["mambapose"])), scan_backend=scan_backend)
        model = MambaPose(config)
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{expected}, got {type(error).__name__}: {error}") from error
    return model.eval()
