"""Intervals that hold what they promise: one factor on all scales, from motions as they were recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from mambapose_ros.models.mambapose import INTERVAL_90, MambaPose
from mambapose_ros.training.evaluate import EVIDENCE_KINDS, EvidenceKind
from mambapose_ros.training.mocap import MotionSequence
from mambapose_ros.training.windows import evaluation_windows

_WINDOWS, _STRIDE = (27, 81), 486


def calibrate(model: MambaPose, sequences: Sequence[MotionSequence]) -> float:
    """Multiply the network's scales by what it takes for 90 % of errors to lie inside their intervals.

    Training sees postures and bodies that are stranger than those recorded, and is as uncertain as these demand. The
    factor is one of temperature (Guo et al., On Calibration of Modern Neural Networks, ICML 2017), found on the newest
    frames of windows. Each kind of evidence and length of windows would have one of its own; halfway between the
    smallest and the largest none is far from its 90 %.

    Args:
        model: changed in place.
        sequences: not those that it is scored on.

    Returns:
        The factor.
    """
    windows = {min(frames, model.config.window) for frames in _WINDOWS}
    factors = [_factor(model, sequences, kind, frames) for kind in EVIDENCE_KINDS for frames in windows]
    factor = math.sqrt(min(factors) * max(factors))
    with torch.no_grad():
        cast(nn.Linear, model.head[1]).bias[3] += math.log(factor)
    return factor


def _factor(model: MambaPose, sequences: Sequence[MotionSequence], kind: EvidenceKind, frames: int) -> float:
    """What it takes for one kind of evidence and length of windows."""
    device = next(model.parameters()).device
    ratios = []
    for batch in evaluation_windows(sequences, frames, _STRIDE, kind.flow, kind.depth):
        with torch.inference_mode():
            estimate = model(torch.from_numpy(batch.evidence).to(device))
        error = np.linalg.norm(estimate.positions[:, -1, 1:].cpu().numpy() - batch.target[:, -1, 1:], axis=-1)
        ratios.append(error / estimate.log_scale[:, -1, 1:].exp().cpu().numpy())
    return float(np.quantile(np.concatenate(ratios), 0.9)) / INTERVAL_90
