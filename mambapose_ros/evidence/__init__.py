"""What the lifter sees of a person: keypoints, flow and depth through a camera turned at the person.

The same code prepares windows at run time and in training, so that a network meets at work what it has learned from.
It is numpy: a window costs a fraction of a millisecond, less than its way to a GPU and back, and data loading processes
need no torch.
"""

from mambapose_ros.evidence.channels import NUM_CHANNELS, Channel, Observations, build_evidence, mirror_evidence
from mambapose_ros.evidence.virtual_camera import VirtualCamera, aim

__all__ = [
    "NUM_CHANNELS",
    "Channel",
    "Observations",
    "VirtualCamera",
    "aim",
    "build_evidence",
    "mirror_evidence",
]
