"""What could be better on this machine, in one line."""

from __future__ import annotations

from mambapose_ros.weights.registry import MODELS, is_here

_GAINS = {
    "flow raft_small": ("raft-small",),
    "depth depth_anything_v2_small": ("depth-anything-v2-small",),
    "detector vitpose": ("vitpose-base-simple", "rtdetr-r18"),
}
"""What can be switched on, and the models that it takes."""


def advice(has_gpu: bool) -> str:
    """What a download or a GPU would add; empty when there is nothing to add."""
    missing = {gain: lacking for gain, names in _GAINS.items() if (lacking := [n for n in names if not is_here(n)])}
    sentences = []
    if missing:
        names = [name for lacking in missing.values() for name in lacking]
        size = sum(MODELS[name].megabytes or 0.0 for name in names)
        sentences.append(f"`mambapose download {' '.join(names)}` ({size:.0f} MB) would add {', '.join(missing)}")
    if not has_gpu:
        sentences.append("a GPU would run networks for flow, depth and keypoints at the rate of a camera")
    return "; ".join(sentences)
