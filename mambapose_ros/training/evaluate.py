"""Scoring of a lifter on motion capture seen by random cameras, one row per kind of evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mambapose_ros.models.mambapose import INTERVAL_90
from mambapose_ros.training.metrics import bone_variation, difference_error, joint_errors, mpjpe, n_mpjpe, pa_mpjpe
from mambapose_ros.training.mocap import MotionSequence
from mambapose_ros.training.windows import DepthKind, TrainingBatch, evaluation_subjects, evaluation_windows

LOOKAHEADS = (0, 4, 13)
"""Frames that an answer may lie back."""

SUBJECT_FIGURES = ("mpjpe", "pa_mpjpe")
"""Figures that are also given per person."""

FEWEST_FRAMES = 3
"""Of a window, so that there are a velocity and an acceleration of the newest frame."""


@dataclass(frozen=True)
class EvidenceKind:
    """One row of the table: which evidence the lifter gets besides keypoints."""

    name: str
    flow: bool
    depth: DepthKind


EVIDENCE_KINDS = (
    EvidenceKind("2D only", False, DepthKind.NONE),
    EvidenceKind("2D + flow", True, DepthKind.NONE),
    EvidenceKind("2D + depth", False, DepthKind.RELATIVE),
    EvidenceKind("all", True, DepthKind.RELATIVE),
    EvidenceKind("all, sensor depth", True, DepthKind.SENSOR),
)


def evaluate(
    model: nn.Module,
    sequences: Sequence[MotionSequence],
    frames: int,
    *,
    kinds: Sequence[EvidenceKind] = EVIDENCE_KINDS,
    stride: int = 27,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Score a lifter on all windows of some sequences.

    Args:
        model: in eval mode, on the CPU; maps evidence to a ``PoseEstimate`` as ``MambaPose`` does.
        sequences: of one split.
        frames: of a window, at least ``FEWEST_FRAMES``.
        kinds: the rows.
        stride: frames between windows.
        advance: called after every batch of windows.

    Returns:
        Name of an evidence kind -> figure -> value, the mean over windows. Errors are of the newest frame, the pelvis
        left out, and in millimetres (per frame, per frame^2); bone variation and coverage are shares.
        ``subject_figure`` names those of one person: who is in many windows, such as somebody who was recorded
        standing for long, rules the mean.
    """
    subjects = np.array(evaluation_subjects(sequences, frames, stride))
    table = {}
    for kind in kinds:
        scores: dict[str, list[np.ndarray]] = {}
        for batch in evaluation_windows(sequences, frames, stride, kind.flow, kind.depth):
            for name, values in _score(model, batch).items():
                scores.setdefault(name, []).append(values)
            advance()
        whole = {name: np.concatenate(values) for name, values in scores.items()}
        table[kind.name] = {name: float(values.mean()) for name, values in whole.items()} | {
            subject_figure(name, subject): float(whole[name][subjects == subject].mean())
            for name in SUBJECT_FIGURES
            for subject in dict.fromkeys(subjects.tolist())
        }
    return table


def subject_figure(name: str, subject: str) -> str:
    """What one of ``SUBJECT_FIGURES`` is called where it is one person's."""
    return f"{name} of {subject}"


def plot(results: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """A picture of the error by kind of evidence, and by lookahead.

    Args:
        results: window -> evidence kind -> figure -> value, as of ``evaluate``.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (bars, lines) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    kinds = list(next(iter(results.values())))
    width = 0.8 / len(results)
    for number, (frames, table) in enumerate(results.items()):
        places = np.arange(len(kinds)) + width * (number - 0.5 * (len(results) - 1))
        bars.bar(places, [table[kind]["mpjpe"] for kind in kinds], width, alpha=0.5, color=f"C{number}")
        bars.bar(places, [table[kind]["pa_mpjpe"] for kind in kinds], width, color=f"C{number}", label=f"T = {frames}")
        for kind, style in zip((kinds[0], kinds[-2]), ("-", "--"), strict=True):
            known = [(n, table[kind][f"mpjpe_lookahead_{n}"]) for n in LOOKAHEADS if n < int(frames)]
            lines.plot(*zip(*known, strict=True), style, color=f"C{number}", marker="o", label=f"T = {frames}, {kind}")
    bars.set_xticks(range(len(kinds)), kinds, rotation=15)
    bars.set(ylabel="mm", title="newest frame: MPJPE (light) and PA-MPJPE")
    lines.set(xlabel="lookahead, frames", ylabel="MPJPE, mm", title="looking ahead")
    for axes in (bars, lines):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def _score(model: nn.Module, batch: TrainingBatch) -> dict[str, np.ndarray]:
    """Figure -> value of each window."""
    with torch.inference_mode():
        estimate = model(torch.from_numpy(batch.evidence))
    poses, truth = estimate.positions.numpy(), batch.target
    newest, newest_truth = poses[:, -1, 1:], truth[:, -1, 1:]
    limit = 1e3 * INTERVAL_90 * estimate.log_scale[:, -1, 1:].exp().numpy()
    tail, tail_truth = poses[:, -FEWEST_FRAMES:, 1:], truth[:, -FEWEST_FRAMES:, 1:]
    figures = {
        "mpjpe": mpjpe(newest, newest_truth),
        "n_mpjpe": n_mpjpe(newest, newest_truth),
        "pa_mpjpe": pa_mpjpe(newest, newest_truth),
        "velocity_error": difference_error(tail, tail_truth, 1),
        "acceleration_error": difference_error(tail, tail_truth, 2),
        "bone_variation": bone_variation(poses),
        "coverage_90": (joint_errors(newest, newest_truth) < limit).mean(axis=-1),
    }
    for lookahead in LOOKAHEADS:
        if lookahead < poses.shape[1]:
            place = poses.shape[1] - 1 - lookahead
            figures[f"mpjpe_lookahead_{lookahead}"] = mpjpe(poses[:, place, 1:], truth[:, place, 1:])
    return figures
