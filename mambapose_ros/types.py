"""What flows between the stages: frozen dataclasses; arrays are not to be written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mambapose_ros.geometry import Camera


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image and how it was taken.

    Attributes:
        stamp_ns: when it was taken, nanoseconds since the epoch of the source's clock.
        frame_id: the camera's optical frame (x right, y down, z forward).
        image: (H, W, 3) uint8 RGB.
        camera: intrinsics for this image size.
        depth: (H, W) float32 metres along the optical axis, as a depth camera registered to this one measured it at the
            same time; NaN = not measured. None = there is no depth camera.
        people: who is in the image, as somebody else found out, or a synthetic scene knows; None = nobody said.
    """

    stamp_ns: int
    frame_id: str
    image: np.ndarray
    camera: Camera
    depth: np.ndarray | None = None
    people: tuple[PersonKeypoints, ...] | None = None

    def __post_init__(self) -> None:
        expected = (self.camera.height, self.camera.width, 3)
        if self.image.shape != expected or self.image.dtype != np.uint8:
            raise ValueError(
                f"expected an RGB image {expected} uint8, the camera's size, got {self.image.shape} "
                f"{self.image.dtype}; scale the camera with Camera.resized or convert the image"
            )
        if self.depth is not None and self.depth.shape != expected[:2]:
            raise ValueError(
                f"expected depth {expected[:2]}, registered to the image, got {self.depth.shape}; register it to the "
                "colour camera, or leave it out"
            )


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of every pixel of an image.

    Attributes:
        values: (H, W) float32; NaN = unknown. What the numbers mean is ``metric``'s to say.
        metric: True = metres along the optical axis. False = inverse depth of unknown scale and shift, larger = nearer
            (affine-ambiguous, as relative depth networks give it).
        source: "sensor", or the name of the network.
    """

    values: np.ndarray
    metric: bool
    source: str


TRACKING_STATES = ("tentative", "tracked", "predicted", "lost")
"""Seen too few times to be sure; seen in this image; not seen, position from motion; not seen for a while, said."""


@dataclass(frozen=True, eq=False)
class PersonKeypoints:
    """One person's joints in one image.

    Attributes:
        xy: (17, 2) float64 pixels, origin at the centre of the top left pixel, Human3.6M-17 order; NaN = missing.
        confidence: (17,) in [0, 1]; 0 = missing.
        id: stable over time; empty = not tracked yet.
        state: one of ``TRACKING_STATES``.
    """

    xy: np.ndarray
    confidence: np.ndarray
    id: str = ""
    state: str = "tracked"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels around the joints that are there; NaN when there is none."""
        present = self.xy[np.isfinite(self.xy).all(axis=1)]
        if not len(present):
            return (np.nan,) * 4
        (x0, y0), (x1, y1) = present.min(axis=0), present.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


@dataclass(frozen=True, eq=False)
class Skeleton3D:
    """One person's joints in space.

    Attributes:
        id: the person, as in ``PersonKeypoints``.
        joints: (17, 3) metres in the camera's optical frame; NaN = missing.
        confidence: (17,) in [0, 1], the detector's, of the joint in this image; 0 = it was not seen here, and its place
            follows from the rest of the body and from other images. How far off a place may be, ``covariance`` says.
        scale_source: where metres come from: "ground_truth", "bone_prior", "learned", "depth_sensor", "none".
        covariance: (17, 3, 3) square metres, of each joint's position relative to the pelvis; None = unknown.
        velocity: (17, 3) metres per second, camera optical frame, relative to the camera, over about the last quarter
            of a second; NaN = unknown. None = unknown for all.
        state: one of ``TRACKING_STATES``.
    """

    id: str
    joints: np.ndarray
    confidence: np.ndarray
    scale_source: str
    covariance: np.ndarray | None = None
    velocity: np.ndarray | None = None
    state: str = "tracked"


@dataclass(frozen=True, eq=False)
class LiftedFrame:
    """The people of one image in space.

    Attributes:
        stamp_ns, frame_id, camera: of the image they were seen in, an earlier one when the lifter looks ahead; the
            image itself is not kept.
        keypoints: the people in that image.
        skeletons: those of them who could be placed in space.
        unplaced: id -> why somebody could not be.
    """

    stamp_ns: int
    frame_id: str
    camera: Camera
    keypoints: tuple[PersonKeypoints, ...]
    skeletons: tuple[Skeleton3D, ...]
    unplaced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Everything the pipeline found in one frame.

    Attributes:
        frame: the image this is about.
        keypoints: the people in the image.
        flow: (H, W, 2) float32 pixels, how far the point seen at a pixel has moved since the previous frame; None = no
            flow.
        lifted: people in space, of this frame or an earlier one; None without a lifter, or before it has an answer.
        depth: of the image; None = no depth.
        reset_reason: why this frame did not follow the last one; empty when it did.
        stage_ms: wall-clock time of each stage, milliseconds; flow and depth run while keypoints are found.
    """

    frame: Frame
    keypoints: tuple[PersonKeypoints, ...]
    flow: np.ndarray | None
    lifted: LiftedFrame | None = None
    depth: DepthMap | None = None
    reset_reason: str = ""
    stage_ms: dict[str, float] = field(default_factory=dict)
