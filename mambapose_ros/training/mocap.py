"""Motion capture as sequences of joints, from the files of a folder; and their split by subject."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.skeleton import NUM_JOINTS


class MocapError(UserError, ValueError):
    """A file that is no motion capture as expected; the message names it and what was expected."""


@dataclass(frozen=True, eq=False)
class MotionSequence:
    """One recorded motion of one person.

    Attributes:
        name, subject: of the recording and of who moves.
        split: "train" or "val"; no subject is in both.
        fps: frames per second.
        joints: (N, 17, 3) float32 metres, world frame, right-handed, z up, Human3.6M-17 order.
        head_forward: (N, 3) float32 unit vector that the face points along.
    """

    name: str
    subject: str
    split: str
    fps: float
    joints: np.ndarray
    head_forward: np.ndarray

    def __post_init__(self) -> None:
        frames = len(self.joints)
        if frames < 2 or self.joints.shape != (frames, NUM_JOINTS, 3) or self.head_forward.shape != (frames, 3):
            raise MocapError(
                f"sequence {self.name!r}: expected joints (N, {NUM_JOINTS}, 3) and head_forward (N, 3) with N >= 2, "
                f"got {self.joints.shape} and {self.head_forward.shape}"
            )
        if not (np.isfinite(self.joints).all() and np.isfinite(self.head_forward).all() and self.fps > 0):
            raise MocapError(f"sequence {self.name!r}: expected finite numbers and fps > 0; leave out broken frames")


def load_npz(path: str | Path) -> list[MotionSequence]:
    """Read a file of sequences.

    It holds ``rel`` (N, 17, 3) joints minus pelvis, ``root`` (N, 3) pelvis, ``extra`` (N, 3, 3) whose first vector is
    the one that the head faces (the others, to the toes, are not needed here), ``start`` and ``length`` per sequence,
    ``index`` (a JSON list with ``name``, ``subject`` and ``split`` of each) and ``fps``; metres, z up.

    Raises:
        MocapError: when the file is missing, no such file, or its numbers do not fit together.
    """
    expected = "expected an .npz with rel, root, extra, start, length, index and fps"
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in ("rel", "root", "extra", "start", "length", "index", "fps")}
        index = json.loads(str(content["index"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MocapError(f"cannot read {path}: {expected}, got {type(error).__name__}: {error}") from error
    return [_sequence(path, content, *entry) for entry in _entries(path, content, index)]


def _entries(path: str | Path, content: dict[str, np.ndarray], index: Any) -> Iterable[tuple[Any, int, int]]:
    """The sequences' index entries and first and last frames, once they fit the arrays."""
    frames = len(content["root"])
    shapes = {"rel": (frames, NUM_JOINTS, 3), "root": (frames, 3), "extra": (frames, 3, 3)}
    for name, shape in shapes.items():
        if content[name].shape != shape:
            raise MocapError(f"{path}: expected {name} to have shape {shape}, got {content[name].shape}")
    starts, ends = content["start"], content["start"] + content["length"]
    if not 0 < len(index) == len(starts) == len(ends) or starts.min() < 0 or ends.max() > frames:
        raise MocapError(
            f"{path}: expected start, length and index of the same number of sequences, at least one, inside {frames} "
            f"frames, got {len(starts)}, {len(ends)} and {len(index)}, up to frame {ends.max(initial=0)}; the file is "
            "cut or mixed up"
        )
    return zip(index, starts.tolist(), ends.tolist(), strict=True)


def _sequence(path: str | Path, content: dict[str, np.ndarray], entry: Any, start: int, end: int) -> MotionSequence:
    try:
        name, subject, split = (str(entry[key]) for key in ("name", "subject", "split"))
    except (KeyError, TypeError) as error:
        raise MocapError(f"{path}: expected name, subject and split in each index entry, got {entry!r}") from error
    root = content["root"][start:end].astype(np.float32)
    joints = content["rel"][start:end].astype(np.float32) + root[:, None]
    head = content["extra"][start:end, 0].astype(np.float32)
    return MotionSequence(name, subject, split, float(content["fps"]), joints, head)


def load_folder(folder: str | Path) -> list[MotionSequence]:
    """All sequences of all .npz files of a folder, and of all BVH files of it and the folders in it, by file name.

    An .npz file tells the splits of its sequences; what splits BVH files, ``load_bvh_files`` says.

    Raises:
        MocapError: when there is none, when one cannot be read, or when a subject is in two splits.
    """
    from mambapose_ros.training.bvh import load_bvh_files  # it makes sequences, so it imports this module

    folder = Path(folder)
    arrays = sorted(folder.glob("*.npz"))
    recordings = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".bvh")
    if not arrays and not recordings:
        raise MocapError(
            f"expected .npz or .bvh files of motion capture in {folder}, found none; give the folder that has them"
        )
    sequences = [sequence for path in arrays for sequence in load_npz(path)]
    if recordings:
        sequences += load_bvh_files(recordings, folder)
    splits: dict[str, str] = {}
    for sequence in sequences:
        if splits.setdefault(sequence.subject, sequence.split) != sequence.split:
            raise MocapError(
                f"{folder}: subject {sequence.subject!r} is in both {splits[sequence.subject]!r} and "
                f"{sequence.split!r}; split by subject, or the figures say nothing about new people"
            )
    return sequences


def select_split(sequences: Iterable[MotionSequence], split: str) -> list[MotionSequence]:
    """The sequences of one split.

    Raises:
        MocapError: when there is none.
    """
    sequences = list(sequences)
    chosen = [sequence for sequence in sequences if sequence.split == split]
    if not chosen:
        raise MocapError(
            f"expected sequences of split {split!r}, there are {sorted({s.split for s in sequences})} of "
            f"{len({s.subject for s in sequences})} subjects; BVH files are validated on from two subjects on, which "
            "have a folder each"
        )
    return chosen
