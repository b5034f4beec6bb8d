"""How far poses are off: the field's metrics, per window and for many of them.

MPJPE and PA-MPJPE as in Ionescu et al., Human3.6M, PAMI 2014 (protocols 1 and 2); N-MPJPE after Rhodin et al., CVPR
2018. Poses are metres from the pelvis, (..., 17, 3); errors are millimetres.
"""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import BONES

_MM = 1e3


def joint_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(..., 17) millimetres between joints."""
    return _MM * np.linalg.norm(predicted - truth, axis=-1)


def mpjpe(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(...) mean per joint position error."""
    return joint_errors(predicted, truth).mean(axis=-1)


def n_mpjpe(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(...) the same after the scale, about the pelvis, that fits best: what is left if size does not count."""
    square = (predicted**2).sum(axis=(-2, -1))
    scale = (predicted * truth).sum(axis=(-2, -1)) / np.maximum(square, 1e-12)
    return mpjpe(scale[..., None, None] * predicted, truth)


def pa_mpjpe(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(...) the same after the similarity transform that fits best (Procrustes; Umeyama, PAMI 1991)."""
    a, b = (pose - pose.mean(axis=-2, keepdims=True) for pose in (predicted, truth))
    u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    # No mirror images.
    sign = np.sign(np.linalg.det(u @ vt))
    s[..., -1] *= sign
    u[..., :, -1] *= sign[..., None]
    scale = s.sum(axis=-1) / np.maximum((a**2).sum(axis=(-2, -1)), 1e-12)
    return mpjpe(scale[..., None, None] * (a @ u @ vt), b)


def difference_error(predicted: np.ndarray, truth: np.ndarray, order: int) -> np.ndarray:
    """(...) millimetres per frame^order: mean error of velocity (1) or acceleration (2) over (..., T, 17, 3)."""
    return joint_errors(np.diff(predicted, order, axis=-3), np.diff(truth, order, axis=-3)).mean(axis=(-2, -1))


def bone_variation(poses: np.ndarray) -> np.ndarray:
    """(...) standard deviation over mean of each bone's length over (..., T, 17, 3), averaged over bones."""
    parents, joints = np.array(BONES).T
    lengths = np.linalg.norm(poses[..., joints, :] - poses[..., parents, :], axis=-1)
    return (lengths.std(axis=-2) / np.maximum(lengths.mean(axis=-2), 1e-12)).mean(axis=-1)
