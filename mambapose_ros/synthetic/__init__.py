"""A procedural person and camera with exact ground truth, for demos, tests and training."""

from mambapose_ros.synthetic.motions import MOTIONS, UPRIGHT_MOTIONS
from mambapose_ros.synthetic.scene import SyntheticFrame, SyntheticScene

__all__ = ["MOTIONS", "UPRIGHT_MOTIONS", "SyntheticFrame", "SyntheticScene"]
