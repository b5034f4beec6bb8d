"""The backends of `selective_scan`, one a file; `mambapose_ros.ops.scan` chooses between them."""
