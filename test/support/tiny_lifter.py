"""A MambaPose file for tests: a small random network whose last layer is fitted to a few synthetic people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mambapose_ros.evidence import Channel, Observations, build_evidence
from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig, save_mambapose
from mambapose_ros.synthetic import SyntheticScene

WINDOW = 9
_LOG_SCALE = np.log(0.02)


def save_tiny_lifter(path: Path) -> Path:
    """Write it; it takes windows of up to 9 frames and gives about the right pose of an upright synthetic person."""
    torch.manual_seed(0)
    model = MambaPose(MambaPoseConfig(width=48, depth=1, window=WINDOW)).eval()
    with torch.no_grad():
        model.trunk.embed.weight[:, Channel.CONFIDENCE :] = 0.0  # by keypoints alone, whatever else is there
    evidence, target = map(
        np.concatenate, zip(*(_windows(motion) for motion in ("idle", "walk", "wave", "turn")), strict=True)
    )
    features = []
    hook = model.head[1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].double()))
    with torch.inference_mode():
        model(torch.from_numpy(evidence))
    hook.remove()
    # The network works newest first; a ridge keeps weights small, so that other people are answered alike.
    x = torch.cat([features[0].flip(1), torch.ones(*features[0].shape[:-1], 1)], dim=-1).flatten(0, 2)
    y = torch.from_numpy(np.concatenate([target, np.full((*target.shape[:-1], 1), _LOG_SCALE)], axis=-1)).flatten(0, 2)
    solution = torch.linalg.solve(x.T @ x + 1e-2 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y.to(x.dtype))
    with torch.no_grad():
        model.head[1].weight.copy_(solution[:-1].T)
        model.head[1].bias.copy_(solution[-1])
    save_mambapose(model, path)
    return path


def _windows(motion: str) -> tuple[np.ndarray, np.ndarray]:
    """Evidence and poses of one person, seen from the first to the ninth frame on."""
    scene = SyntheticScene(motion=motion, width=64, height=48)
    joints = np.stack([scene.render(3 * i).joints[0] for i in range(WINDOW)])
    rays = np.repeat((joints[..., :2] / joints[..., 2:])[None], WINDOW, axis=0)
    rays[np.arange(WINDOW)[None, :] < np.arange(WINDOW)[:, None]] = np.nan
    confidence = np.isfinite(rays).all(axis=3).astype(float)
    observations = Observations(rays, confidence, np.full((WINDOW, WINDOW), 1 / 30))
    evidence, camera = build_evidence(observations)
    poses = np.repeat((joints - joints[:, :1])[None], WINDOW, axis=0)
    return evidence, camera.to_virtual(poses)
