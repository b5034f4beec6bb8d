"""How the stages of the pipeline are set up, for every node that has one."""

from __future__ import annotations

from mambapose_ros.nodes.parameters import ParameterSpec

DETECTOR_PARAMETERS = (
    ParameterSpec("detector_weights", "", "folder, file or name of vitpose or keypoint_rcnn; empty = as downloaded"),
    ParameterSpec("finder_weights", "", "folder of what finds people for vitpose; empty = the one downloaded"),
)

FLOW_PARAMETERS = (
    ParameterSpec("flow_weights", "", "file of RAFT; empty = the one downloaded"),
    ParameterSpec(
        "flow_width", 0, "pixels that images are scaled down to for flow; 0 = 640, RAFT on a CPU 320", range=(0, 4096)
    ),
    ParameterSpec("flow_updates", 0, "refinements of RAFT's flow; 0 = 12, on a CPU 4", range=(0, 64)),
)

DEPTH_PARAMETERS = (
    ParameterSpec("depth_weights", "", "folder of the depth network; empty = the one downloaded"),
    ParameterSpec(
        "depth_side",
        0,
        "pixels that images are scaled to for the depth network, a multiple of 14; 0 = 518, on a CPU 252",
        range=(0, 4004),
    ),
)
