import itertools
import math
import struct

import cv2
import numpy as np
import pytest
from huge_picture import huge_png

from mambapose_ros.geometry import Camera
from mambapose_ros.sources import SourceError, SourceOptions, _video_stamp, fit_camera, open_source

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]  # RGB


@pytest.fixture
def pictures(tmp_path):
    for i, color in enumerate(COLORS):
        cv2.imwrite(str(tmp_path / f"{i:03}.png"), np.full((48, 64, 3), color[::-1], np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (64, 48))
    for color in COLORS:
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    return path


def test_pictures_come_in_order_of_names_with_stamps_of_the_rate(pictures):
    frames = [source_frame.frame for source_frame in open_source(str(pictures), SourceOptions(rate=10.0))]
    assert [tuple(frame.image[0, 0]) for frame in frames] == COLORS
    assert [frame.stamp_ns for frame in frames] == [i * 100_000_000 for i in range(5)]
    assert all(frame.camera.assumed for frame in frames)


def test_video_keeps_its_own_rate_and_can_be_read_again(video):
    source = open_source(str(video))
    assert source.rate == 25.0
    assert not source.live
    for _ in range(2):
        frames = [source_frame.frame for source_frame in source]
        assert [frame.stamp_ns for frame in frames] == [i * 40_000_000 for i in range(5)]
        for frame, color in zip(frames, COLORS, strict=True):
            np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), color, atol=12)  # the codec is lossy


def write_video(path, rate: float, frames: int = 5) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (64, 48))
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()


def stamps_ms(path) -> list[float]:
    return [source_frame.frame.stamp_ns * 1e-6 for source_frame in open_source(str(path))]


def retime(path, durations_ms: list[int]) -> None:
    """Give the frames of an MP4 file of 25 frames per second other durations.

    They are in the table "stts", the deepest of nested boxes, each of which begins with its size; nothing lies behind
    them that a place in the file refers to.
    """
    content = bytearray(path.read_bytes())
    ticks_per_ms = int.from_bytes(content[(at := content.index(b"mdhd") + 16) : at + 4], "big") / 1000
    at = content.index(b"stts")
    size = int.from_bytes(content[at - 4 : at], "big")
    entries = b"".join(struct.pack(">II", 1, round(ms * ticks_per_ms)) for ms in durations_ms)
    table = b"stts" + bytes(4) + struct.pack(">I", len(durations_ms)) + entries
    content[at : at - 4 + size] = table
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        start = content.index(name) - 4
        longer = int.from_bytes(content[start : start + 4], "big") + 4 + len(table) - size
        content[start : start + 4] = longer.to_bytes(4, "big")
    path.write_bytes(content)


def test_a_time_lapse_has_its_own_times(tmp_path):
    write_video(tmp_path / "slow.mp4", 0.5)
    assert open_source(str(tmp_path / "slow.mp4")).rate == 0.5
    assert stamps_ms(tmp_path / "slow.mp4") == [0.0, 2000.0, 4000.0, 6000.0, 8000.0]


def test_frames_of_unequal_duration_have_the_times_of_the_file(tmp_path):
    write_video(path := tmp_path / "phone.mp4", 25.0)
    retime(path, [40, 30, 20, 70, 40])  # together what they were
    assert stamps_ms(path) == pytest.approx([0.0, 40.0, 70.0, 90.0, 160.0], abs=0.05)


@pytest.mark.parametrize("rate", [30.0, 29.97])
def test_times_that_are_rounded_to_milliseconds_are_those_of_the_rate(tmp_path, rate):
    write_video(path := tmp_path / "rounded.mkv", rate, frames=50)
    frames = [source_frame.frame for source_frame in open_source(str(path))]
    assert [frame.stamp_ns for frame in frames] == [round(i * 1e9 / rate) for i in range(50)]


def test_stamps_increase_where_the_times_of_a_file_do_not():
    shown = [0.0, 100.0, 90.0, 0.0, 400.0]
    stamps = [-1]
    for index, ms in enumerate(shown):
        stamps.append(_video_stamp(index, 25.0, ms, stamps[-1]))
    assert stamps[1:] == [ms * 10**6 for ms in (0, 100, 140, 180, 400)]
    without_times = [0]
    for index in range(1, 4):
        without_times.append(_video_stamp(index, 30.0, 0.0, without_times[-1]))
    assert without_times == [0, 33333333, 66666667, 100000000]


def test_synthetic_frames_carry_their_truth():
    options = SourceOptions(rate=20.0, width=160, height=120, people=2, seed=3, frame_id="cam")
    source = open_source("synthetic:wave", options)
    frames = list(itertools.islice(source, 2))
    assert [frame.frame.stamp_ns for frame in frames] == [0, 50_000_000]
    for source_frame in frames:
        assert source_frame.frame.image.shape == (120, 160, 3)
        assert source_frame.frame.frame_id == "cam"
        assert not source_frame.frame.camera.assumed
        truth = source_frame.truth
        assert truth.joints.shape == (2, 17, 3)
        np.testing.assert_allclose(source_frame.frame.camera.project(truth.joints), truth.keypoints, atol=1e-6)


class Webcam:
    """An opened ``cv2.VideoCapture`` whose driver reports this rate."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def isOpened(self) -> bool:
        return True

    def set(self, prop: int, value: float) -> bool:
        return True

    def get(self, prop: int) -> float:
        assert prop == cv2.CAP_PROP_FPS
        return self._rate


@pytest.mark.parametrize(
    ("told", "rate"),
    [(25.0, 25.0), (240.0, 240.0), (0.0, 30.0), (-1.0, 30.0), (math.nan, 30.0), (math.inf, 30.0), (90000.0, 30.0)],
)
def test_a_webcam_that_does_not_know_its_rate_has_the_usual_one(told, rate, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Webcam(told))
    source = open_source("0")
    assert source.rate == rate
    assert source.live


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("nowhere.mp4", "expected a video file"),
        ("synthetic:fly", "walk"),
        ("63", "webcam 63"),
        ("99999999999", "no webcam 99999999999: expected a small number"),
        ("²", "expected a video file"),
    ],
)
def test_sources_that_do_not_exist_are_refused(spec, expected):
    with pytest.raises(SourceError, match=expected):
        open_source(spec)


def test_a_file_that_is_no_video_is_refused_by_name(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("this is not a video")
    with pytest.raises(SourceError, match=r"text\.mp4"):
        open_source(str(path))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no pictures"):
        open_source(str(tmp_path))


def test_a_broken_picture_is_named(pictures):
    (pictures / "002.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"002\.png"):
        list(open_source(str(pictures)))


def test_a_picture_too_large_to_decode_is_named(tmp_path):
    (tmp_path / "huge.png").write_bytes(huge_png())
    with pytest.raises(SourceError, match=r"cannot decode .*huge\.png"):
        list(open_source(str(tmp_path)))


def test_cameras_are_scaled_to_images_of_the_same_shape_only():
    camera = Camera.from_fov(1280, 720, 1.0)
    assert fit_camera(camera, 1280, 720) is camera
    assert fit_camera(camera, 640, 360).K[0, 0] == pytest.approx(camera.K[0, 0] / 2)
    assert fit_camera(None, 640, 360).assumed
    with pytest.raises(SourceError, match="1280x720"):
        fit_camera(camera, 640, 480)


def test_pictures_of_another_size_are_named(pictures):
    cv2.imwrite(str(pictures / "003.png"), np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(SourceError, match=r"64x48 like the first, got 20x10: .*003\.png"):
        list(open_source(str(pictures)))


def test_a_calibration_of_another_resolution_serves_the_synthetic_camera():
    camera = Camera.from_fov(1280, 960, 1.0)
    (first,) = itertools.islice(open_source("synthetic:idle", SourceOptions(camera=camera)), 1)
    assert first.frame.image.shape == (480, 640, 3)
    assert first.frame.camera.K[0, 0] == pytest.approx(camera.K[0, 0] / 2)
