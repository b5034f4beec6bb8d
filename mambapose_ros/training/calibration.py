"""Intervals that hold what they promise: one factor on all scales, from motions as they were recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from mambapose_ros.models.mambapose import INTERVAL_90, MambaPose
from mambapose_ros.training.evaluate import EVIDENCE_KINDS
from mambapose_ros.training.mocap import MotionSequence
from mambapose_ros.training.windows import evaluation_windows

_FRAMES, _STRIDE = 27, 243


def calibrate(model: MambaPose, sequences: Sequence[MotionSequence]) -> float:
    """Multiply the network's scales by what it takes for 90 % of errors to lie inside their intervals.

    Training sees postures and bodies that are stranger than those recorded, and is as uncertain as these demand. The
    factor is one of temperature (Guo et al., On Calibration of Modern Neural Networks, ICML 2017), found on the newest
    frames of windows with every kind of evidence.

    Args:
        model: changed in place.
        sequences: not those that it is scored on.

    Returns:
        The factor.
    """
    device = next(model.parameters()).device
    ratios = []
    for kind in EVIDENCE_KINDS:
        for batch in evaluation_windows(sequences, _FRAMES, _STRIDE, kind.flow, kind.depth):
            with torch.inference_mode():
                estimate = model(torch.from_numpy(batch.evidence).to(device))
            error = np.linalg.norm(estimate.positions[:, -1, 1:].cpu().numpy() - batch.target[:, -1, 1:], axis=-1)
            ratios.append(error / estimate.log_scale[:, -1, 1:].exp().cpu().numpy())
    factor = float(np.quantile(np.concatenate(ratios), 0.9)) / INTERVAL_90
    with torch.no_grad():
        cast(nn.Linear, model.head[1]).bias[3] += math.log(factor)
    return factor
