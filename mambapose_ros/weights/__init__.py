"""Models by name: where each comes from, under which terms, and where it is on this machine."""

from mambapose_ros.weights.registry import MODELS, Model, download, lifter_for, locate
from mambapose_ros.weights.sources import MissingError, WeightsError

__all__ = ["MODELS", "MissingError", "Model", "WeightsError", "download", "lifter_for", "locate"]
