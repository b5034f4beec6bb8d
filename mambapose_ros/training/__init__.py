"""Training data for the lifter: motion capture seen by simulated cameras, detectors, optical flow and depth."""
