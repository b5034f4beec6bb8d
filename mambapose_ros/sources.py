"""Where images come from: video files, webcams, folders of pictures, and the synthetic person."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.types import Frame

if TYPE_CHECKING:
    from mambapose_ros.synthetic import SyntheticFrame, SyntheticScene

DEFAULT_RATE = 30.0
"""Frames per second of a source that does not say."""

_HIGHEST_RATE = 240.0
_ROUNDING_NS = 1e6

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


class SourceError(UserError):
    """A source that cannot be opened or read; the message says what was expected."""


@dataclass(frozen=True)
class SourceFrame:
    """A frame, and what is known about it.

    Attributes:
        frame: stamped by the source: time since its beginning, or the clock's for a webcam.
        truth: exact people, depth and flow, of a synthetic frame; None otherwise.
    """

    frame: Frame
    truth: SyntheticFrame | None = None


class Source(Protocol):
    """Frames in the order they were taken.

    Attributes:
        rate: frames per second.
        live: True when frames come at their own time (a webcam), so that reading waits for them.
    """

    rate: float
    live: bool

    def __iter__(self) -> Iterator[SourceFrame]:
        """From the beginning. Raises SourceError where reading fails."""

    def close(self) -> None:
        """Give back the device or file."""


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    Attributes:
        camera: its intrinsics; None = a field of view is assumed, or the synthetic camera's own.
        frame_id: optical frame to stamp images with.
        rate: frames per second to read a picture folder or a synthetic person at, or asked from a webcam; 0 =
            ``DEFAULT_RATE``, or the webcam's own.
        width, height: pixels, of a synthetic image, or asked from a webcam; 0 = 640x480, or the webcam's own.
        people: synthetic people, 1-4.
        seed: of their appearance, background and light.
        moving_camera: whether the synthetic camera moves.
    """

    camera: Camera | None = None
    frame_id: str = "camera_optical_frame"
    rate: float = 0.0
    width: int = 0
    height: int = 0
    people: int = 1
    seed: int = 0
    moving_camera: bool = False


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open what ``spec`` names.

    Args:
        spec: ``synthetic`` or ``synthetic:MOTION``, a webcam's index, a folder of pictures or a video file.
        options: how to read it.

    Raises:
        SourceError: when there is no such thing, or it cannot be read.
    """
    options = options or SourceOptions()
    if spec == "synthetic" or spec.startswith("synthetic:"):
        return SyntheticSource(spec.partition(":")[2] or "walk", options)
    if spec.isdecimal():
        return WebcamSource(int(spec), options)
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return PictureSource(path, options)
    if path.is_file():
        return VideoSource(path, options)
    raise SourceError(
        f"no source {spec!r}: expected a video file, a folder of pictures, a webcam's index (0) or synthetic[:MOTION]"
    )


class VideoSource:
    """A video file, as OpenCV's FFmpeg reads it; stamps are the file's, beginning at 0."""

    live = False

    def __init__(self, path: Path, options: SourceOptions) -> None:
        import cv2

        self._path, self._options = path, options
        capture = cv2.VideoCapture(str(path))
        readable, _ = capture.read()
        rate = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        if not readable:
            raise SourceError(f"cannot read a frame of {path}: expected a video file that FFmpeg can decode")
        self.rate = _plausible_rate(rate)

    def __iter__(self) -> Iterator[SourceFrame]:
        import cv2

        capture = cv2.VideoCapture(str(self._path))
        try:
            index, stamp_ns = 0, -1
            while True:
                there, image = capture.read()
                if not there:
                    break
                stamp_ns = _video_stamp(index, self.rate, capture.get(cv2.CAP_PROP_POS_MSEC), stamp_ns)
                yield _picture_frame(image, stamp_ns, self._options)
                index += 1
            # The count is the container's claim, and often a few frames off.
            expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            if index < 0.9 * expected:
                warnings.warn(f"{self._path} ended after {index} of {expected} frames: is it cut?", stacklevel=2)
        finally:
            capture.release()

    def close(self) -> None:
        """Nothing is held open between iterations."""


class WebcamSource:
    """A camera at the machine."""

    live = True

    def __init__(self, index: int, options: SourceOptions) -> None:
        import cv2

        self._options = options
        try:
            self._capture = cv2.VideoCapture(index)
        except cv2.error as error:
            raise SourceError(f"no webcam {index}: expected a small number, as of /dev/video0") from error
        for prop, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, options.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
            (cv2.CAP_PROP_FPS, options.rate),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ):
            if value:
                self._capture.set(prop, value)
        if not self._capture.isOpened():
            raise SourceError(f"cannot open webcam {index}: expected a device /dev/video{index} that may be read")
        self.rate = _plausible_rate(self._capture.get(cv2.CAP_PROP_FPS))

    def __iter__(self) -> Iterator[SourceFrame]:
        while True:
            there, image = self._capture.read()
            if not there:
                raise SourceError("the webcam stopped giving images: is it still plugged in?")
            yield _picture_frame(image, time.time_ns(), self._options)

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


class PictureSource:
    """The pictures of a folder in the order of their names; all of one size."""

    live = False

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        if not self._paths:
            raise SourceError(
                f"no pictures in {folder}: expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"
            )
        self._options = options
        self.rate = options.rate or DEFAULT_RATE

    def __iter__(self) -> Iterator[SourceFrame]:
        import cv2

        shape: tuple[int, ...] = ()
        for index, path in enumerate(self._paths):
            try:
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            except cv2.error:  # a header that promises more pixels than OpenCV is willing to read
                image = None
            if image is None:
                raise SourceError(f"cannot decode {path}: expected a picture")
            shape = shape or image.shape
            if image.shape != shape:
                (height, width), (first_height, first_width) = image.shape[:2], shape[:2]
                raise SourceError(
                    f"expected pictures of one size, {first_width}x{first_height} like the first, "
                    f"got {width}x{height}: {path}"
                )
            yield _picture_frame(image, _stamp(index, self.rate), self._options)

    def close(self) -> None:
        """Nothing is held open."""


class SyntheticSource:
    """The synthetic person, without end."""

    live = False

    def __init__(self, motion: str, options: SourceOptions) -> None:
        from mambapose_ros.synthetic import SyntheticScene

        self.rate = options.rate or DEFAULT_RATE
        self._frame_id = options.frame_id
        width, height = options.width or 640, options.height or 480
        # Without a calibration the scene's own camera, which is known exactly.
        camera = options.camera and fit_camera(options.camera, width, height)
        try:
            self._scene: SyntheticScene = SyntheticScene(
                motion=motion,
                people=options.people,
                seed=options.seed,
                width=width,
                height=height,
                fps=self.rate,
                camera=camera,
                moving_camera=options.moving_camera,
            )
        except ValueError as error:
            raise SourceError(f"cannot make the synthetic scene: {error}") from error

    def __iter__(self) -> Iterator[SourceFrame]:
        index = 0
        while True:
            truth = self._scene.render(index)
            stamp_ns = _stamp(index, self.rate)
            frame = Frame(stamp_ns, self._frame_id, truth.image, truth.camera, people=truth.people)
            yield SourceFrame(frame, truth)
            index += 1

    def close(self) -> None:
        """Nothing is held open."""


def fit_camera(camera: Camera | None, width: int, height: int) -> Camera:
    """The camera for images of this size: itself, scaled to it, or an assumed one when there is none.

    Raises:
        SourceError: when the size has another shape than the camera's, so that scaling cannot explain it.
    """
    if camera is None:
        return Camera.from_fov(width, height, assumed=True)
    if (camera.width, camera.height) == (width, height):
        return camera
    if not math.isclose(camera.width / camera.height, width / height, rel_tol=0.01):
        raise SourceError(
            f"the camera file is for {camera.width}x{camera.height} images, these are {width}x{height}: "
            "calibrate the camera at the size that it is used at"
        )
    return camera.resized(width, height)


def _plausible_rate(told: float) -> float:
    """What OpenCV reports, or ``DEFAULT_RATE``: containers without a frame rate have 0 or the clock rate of the stream,
    webcams that do not know theirs -1 or NaN."""
    return told if 0.0 < told <= _HIGHEST_RATE else DEFAULT_RATE


def _stamp(index: int, rate: float) -> int:
    return round(index * 1e9 / rate)


def _video_stamp(index: int, rate: float, shown_ms: float, last_ns: int) -> int:
    """When a frame of a video is shown, nanoseconds, later than the frame before.

    Args:
        index: of the frame.
        rate: frames per second that the file claims.
        shown_ms: the frame's time in the file.
        last_ns: stamp of the frame before.
    """
    steady = _stamp(index, rate)
    # Files that count in milliseconds round the times of a steady rate.
    shown = steady if abs(1e6 * shown_ms - steady) <= _ROUNDING_NS else round(1e6 * shown_ms)
    # A file without times has zeros; one with broken times goes on at its rate.
    return next(stamp for stamp in (shown, steady, last_ns + _stamp(1, rate)) if stamp > last_ns)


def _picture_frame(bgr: np.ndarray, stamp_ns: int, options: SourceOptions) -> SourceFrame:
    import cv2

    height, width = bgr.shape[:2]
    camera = fit_camera(options.camera, width, height)
    return SourceFrame(Frame(stamp_ns, options.frame_id, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), camera))
