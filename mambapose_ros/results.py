"""Files that a run leaves behind: skeletons.npz, annotated.mp4 and summary.json."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from mambapose_ros.drawing import draw_keypoints
from mambapose_ros.skeleton import JOINT_NAMES, NUM_JOINTS
from mambapose_ros.types import FrameResult, LiftedFrame, PersonKeypoints, Skeleton3D


class VideoWriter:
    """An MP4 file of the first image's size; later images of another size are scaled to it.

    Raises:
        OSError: on the first image, when the file cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3) uint8 RGB."""
        import cv2

        if self._writer is None:
            height, width = image.shape[:2]
            # The codec stores even sizes only, and OpenCV drops images of another size without a word.
            self._size = (width - width % 2, height - height % 2)
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), fourcc, self._rate, self._size)
            if not self._writer.isOpened():
                raise OSError(f"cannot write the video {self._path}: expected a folder that may be written to")
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


class ResultWriter:
    """Collects results frame by frame and writes them into a folder.

    ``skeletons.npz`` has one row per person and frame: ``frame`` (N,), ``stamp_ns`` (N,), ``id`` (N,) str, ``joints``
    (N, 17, 3) metres in the camera's optical frame (NaN without a lifter), ``confidence`` (N, 17), as of
    ``Skeleton3D``, ``keypoints`` (N, 17, 3) pixels and confidence, and ``joint_names`` (17,); also ``velocity``
    (N, 17, 3) metres per second and ``deviation`` (N, 17), metres, the standard deviation of each joint's place
    relative to the pelvis along one axis, NaN where unknown.

    Rows are kept until ``close``, about a kilobyte each.

    Raises:
        OSError: when the folder or a file cannot be written.
    """

    def __init__(self, folder: Path, rate: float) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot make the folder {folder}: {error.strerror}; choose another output") from error
        self._folder = folder
        self._video = VideoWriter(folder / "annotated.mp4", rate)
        self._rows: list[np.ndarray] = []  # of a frame each, _ROW: as Python objects they take three times the memory
        self._rows_at: dict[int, np.ndarray] = {}  # the same arrays by stamp; a lifter that looks ahead fills them late
        self._frames = 0
        self._stage_ms: dict[str, array[float]] = {}
        self._assumed_camera = False

    def add(self, result: FrameResult) -> None:
        """Append one frame's people; those who are lost were not in it."""
        people = [person for person in result.keypoints if person.state != "lost"]
        if people:
            rows = _packed(self._frames, result.frame.stamp_ns, people)
            self._rows.append(rows)
            self._rows_at[result.frame.stamp_ns] = rows
        if result.lifted is not None:
            self.add_lifted(result.lifted)
        for stage, ms in result.stage_ms.items():
            self._stage_ms.setdefault(stage, array("d")).append(ms)
        self._assumed_camera = result.frame.camera.assumed
        self._video.write(draw_keypoints(result.frame.image, result.keypoints))
        self._frames += 1

    def add_lifted(self, lifted: LiftedFrame) -> None:
        """Put people in space into the rows of their frame, which may be some frames old.

        Those of a frame that was not added are left out: an interrupt comes also between lifting and adding.
        """
        rows = self._rows_at.get(lifted.stamp_ns)
        if rows is None:
            return
        for skeleton in lifted.skeletons:
            if skeleton.state != "lost":
                whose = rows["id"] == skeleton.id
                for name, value in _lifted_columns(skeleton).items():
                    rows[name][whose] = value

    def close(self, **summary: Any) -> dict[str, Any]:
        """Write the files; returns what summary.json holds: ``summary`` and the figures of the run."""
        self._video.close()
        rows = np.concatenate([np.empty(0, _ROW), *self._rows])
        columns = {name: rows[name] for name in _COLUMNS}
        columns["id"] = rows["id"].astype(np.str_)
        np.savez_compressed(self._folder / "skeletons.npz", joint_names=np.array(JOINT_NAMES), **columns)
        content = {
            **summary,
            "frames": self._frames,
            "rows": len(rows),
            "people": len(set(rows["id"])),
            "frames_with_people": len(self._rows),
            "rows_with_joints": int(np.isfinite(rows["joints"]).all(axis=(1, 2)).sum()),
            "stage_ms_median": {stage: round(float(np.median(ms)), 2) for stage, ms in self._stage_ms.items()},
            "intrinsics_assumed": self._assumed_camera,
            "scale_sources": sorted(set(rows["scale_source"])),
        }
        (self._folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return content


def _packed(frame: int, stamp_ns: int, people: list[PersonKeypoints]) -> np.ndarray:
    """The rows (P,) of a frame whose people are not lifted yet."""
    rows = np.empty(len(people), _ROW)
    rows["frame"], rows["stamp_ns"], rows["scale_source"] = frame, stamp_ns, "none"
    for name in ("joints", "velocity", "deviation"):
        rows[name] = np.nan
    for row, person in zip(rows, people, strict=True):
        row["id"], row["confidence"] = person.id, person.confidence
        row["keypoints"] = np.column_stack([person.xy, person.confidence])
    return rows


def _lifted_columns(skeleton: Skeleton3D) -> dict[str, Any]:
    columns = {
        "joints": skeleton.joints,
        "confidence": skeleton.confidence,
        "scale_source": skeleton.scale_source,
    }
    if skeleton.velocity is not None:
        columns["velocity"] = skeleton.velocity
    if skeleton.covariance is not None:
        columns["deviation"] = np.sqrt(np.trace(skeleton.covariance, axis1=1, axis2=2) / 3.0)
    return columns


_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "frame": (np.int64, ()),
    "stamp_ns": (np.int64, ()),
    "id": (object, ()),
    "joints": (np.float32, (NUM_JOINTS, 3)),
    "confidence": (np.float32, (NUM_JOINTS,)),
    "keypoints": (np.float32, (NUM_JOINTS, 3)),
    "velocity": (np.float32, (NUM_JOINTS, 3)),
    "deviation": (np.float32, (NUM_JOINTS,)),
}
_ROW = np.dtype([(name, *column) for name, column in _COLUMNS.items()] + [("scale_source", object)])
