"""Accuracy of MambaPose against the same trunk with its published input, and a temporal convolution.

    python benchmarks/lifter_baselines.py --data FOLDER --steps 4000 --json baselines.json
    python benchmarks/lifter_baselines.py --data FOLDER --steps 26000 --rows convolution

All are trained here for as many steps, from random weights, on windows from the same sampler, with the same loss and
optimizers as `mambapose train`, and scored by the same code as `mambapose evaluate`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mambapose_ros.evidence import Channel
from mambapose_ros.models import PoseMamba
from mambapose_ros.models.mambapose import MAMBAPOSE_PRESETS, MambaPose, PoseEstimate
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.training.evaluate import EVIDENCE_KINDS, evaluate
from mambapose_ros.training.mocap import load_folder, select_split
from mambapose_ros.training.train import (
    TrainOptions,
    learning_rate_factor,
    make_optimizers,
    step_optimizers,
    training_loss,
    window_lengths,
)
from mambapose_ros.training.windows import SamplerConfig, WindowSampler

KEYPOINT_CHANNELS = [Channel.X, Channel.Y, Channel.CONFIDENCE, Channel.PRESENT, Channel.SIZE, Channel.INTERVAL]


class TemporalConvolution(nn.Module):
    """Dilated causal convolutions over time on all joints together: 2D only.

    Source: VideoPose3D, Pavllo et al., CVPR 2019, section 3, with its causal variant of section 5.4; the blocks' width
    is chosen so that there are about as many parameters as in MambaPose XS. Unlike there, the input is what MambaPose
    sees of the keypoints, so that the comparison is of the networks alone.

    Args:
        width: features per frame.
        blocks: residual blocks; the receptive field is 3^(blocks + 1) frames.
    """

    def __init__(self, width: int = 208, blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv1d(len(KEYPOINT_CHANNELS) * NUM_JOINTS, width, kernel_size=3)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, kernel_size=3, dilation=3**depth),
                nn.GroupNorm(1, width),
                nn.ReLU(),
                nn.Conv1d(width, width, kernel_size=1),
                nn.GroupNorm(1, width),
                nn.ReLU(),
            )
            for depth in range(1, blocks + 1)
        )
        self.leave = nn.Conv1d(width, 4 * NUM_JOINTS, kernel_size=1)

    def forward(self, evidence: Tensor) -> PoseEstimate:
        """As ``MambaPose.forward``."""
        x = evidence[..., KEYPOINT_CHANNELS].flatten(2).mT
        x = torch.relu(self.enter(_before(x, 2)))
        for depth, block in enumerate(self.blocks, start=1):
            x = x + block(_before(x, 2 * 3**depth))
        output = self.leave(x).mT.unflatten(2, (NUM_JOINTS, 4))
        return PoseEstimate(output[..., :3] - output[..., :1, :3], output[..., 3].clamp(-7.0, 1.0))


def _before(x: Tensor, frames: int) -> Tensor:
    """`[batch x channels x frames]` with the first frame repeated before it, as if the person had stood still."""
    return torch.cat([x[..., :1].expand(*x.shape[:2], frames), x], dim=2)


class PublishedInput(nn.Module):
    """PoseMamba as published, in the size of MambaPose XS: the same trunk on x and y alone, oldest frame first, without
    confidence, time or uncertainty."""

    def __init__(self) -> None:
        super().__init__()
        trunk = MAMBAPOSE_PRESETS["XS"].trunk()
        self.network = PoseMamba(replace(trunk, in_channels=2, out_channels=3))

    def forward(self, evidence: Tensor) -> PoseEstimate:
        """As ``MambaPose.forward``; the scale is a constant."""
        poses = self.network(evidence[..., [Channel.X, Channel.Y]])
        return PoseEstimate(poses - poses[..., :1, :], poses.new_zeros(poses.shape[:-1]))


ROWS: dict[str, Callable[[], nn.Module]] = {
    "mambapose": partial(MambaPose, MAMBAPOSE_PRESETS["XS"]),
    "published": PublishedInput,
    "convolution": TemporalConvolution,
}


def main() -> None:
    arguments = parse_arguments()
    sequences = load_folder(arguments.data)
    validation = select_split(sequences, "val")
    report: dict[str, dict[str, dict[str, float]]] = {}
    for name in arguments.rows:
        torch.manual_seed(0)
        model = ROWS[name]()
        fit(model, WindowSampler(select_split(sequences, "train"), SamplerConfig(), seed=0), arguments.steps, name)
        # All rows see the same keypoints, so that one kind of evidence tells everything.
        report[name] = {
            str(frames): evaluate(model.eval(), validation, frames, kinds=EVIDENCE_KINDS[:1])[EVIDENCE_KINDS[0].name]
            for frames in (27, 81)
        }
        Console().print(name, f"{sum(p.numel() for p in model.parameters()):,} parameters", report[name])
    if arguments.json:
        arguments.json.write_text(json.dumps({"steps": arguments.steps, "rows": report}, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder of .npz motion capture")
    parser.add_argument("--steps", type=int, required=True, help="optimisation steps, as `mambapose train --steps`")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


def fit(model: nn.Module, sampler: WindowSampler, steps: int, name: str) -> None:
    """Train with the options and the loss of `mambapose train`; the moving average of the weights is left in."""
    options = TrainOptions(data="", output="", steps=steps)
    optimizers = make_optimizers(model, options.learning_rate, options.weight_decay)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema))
    rng = np.random.default_rng(options.seed)
    lengths = window_lengths(*options.frames)
    for step in track(range(steps), description=name):
        frames = int(rng.choice(lengths))
        batch = sampler.batch(max(1, options.batch_frames // frames), frames)
        estimate = model(torch.from_numpy(batch.evidence))
        loss, _ = training_loss(estimate, torch.from_numpy(batch.target), options.velocity_weight)
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        step_optimizers(optimizers, torch.tensor(learning_rate_factor(step / steps, step)))
        average.update_parameters(model)
    model.load_state_dict(average.module.state_dict())


if __name__ == "__main__":
    main()
