"""Models that are not part of the code: where each comes from, under which terms, and where it is on this machine."""

from mambapose_ros.weights.registry import MODELS, Model, WeightsError, download, locate

__all__ = ["MODELS", "Model", "WeightsError", "download", "locate"]
