"""Motion capture of the user's own, from BVH files (Biovision Hierarchy) of common rigs."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, NUM_JOINTS
from mambapose_ros.training.kinematics import rotation_about, unit
from mambapose_ros.training.mocap import MocapError, MotionSequence

UP_AXES = {
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "z": np.eye(3),
}
"""Up axis of a file -> rotation to z up."""

_ALIASES = {
    "hip": ("{s}upleg", "{s}upperleg", "{s}thigh", "{s}femur", "{s}hip"),
    "knee": ("{s}leg", "{s}lowleg", "{s}lowerleg", "{s}shin", "{s}calf", "{s}tibia", "{s}knee"),
    "ankle": ("{s}foot", "{s}ankle"),
    # In rigs that have both, the "shoulder" is the collar bone and the "arm" begins at the shoulder joint.
    "shoulder": ("{s}arm", "{s}uparm", "{s}upperarm", "{s}shldr", "{s}humerus", "{s}shoulder"),
    "elbow": ("{s}forearm", "{s}lowarm", "{s}lowerarm", "{s}radius", "{s}elbow"),
    "wrist": ("{s}hand", "{s}wrist"),
}
_NECK, _HEAD = ("neck", "neck1", "lowerneck"), ("head",)
_HEAD_BELOW_VERTEX_M = 0.09
_NECK_FORWARD_M = 0.06
_UNITS_M = (1.0, 0.0254 / 0.45, 0.0254, 0.01, 0.001)  # the second is that of CMU's files, as they were converted to BVH
_THIGH_M = 0.42
_ADULT_THIGH_M = (0.28, 0.63)  # wide enough that there is no gap between inches and CMU's unit
_POSSIBLE_THIGH_M = (0.1, 0.8)  # of children too


@dataclass(frozen=True, eq=False)
class Node:
    """A joint of a BVH hierarchy.

    Attributes:
        name: as in the file; empty for an End Site.
        parent: index of the node that it hangs on; -1 at the root.
        offset: (3,) from the parent, file units.
        channels: what moves it, in the order in which rotations apply, e.g. ("Zrotation", "Xrotation", "Yrotation").
    """

    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bvh:
    """A BVH file: nodes, parents first; motion (N, all channels of all nodes), degrees and file units; fps."""

    nodes: tuple[Node, ...]
    motion: np.ndarray
    fps: float

    def positions_and_rotations(self) -> tuple[np.ndarray, np.ndarray]:
        """Forward kinematics: positions (N, nodes, 3) in file units and rotations (N, nodes, 3, 3), file axes."""
        frames = len(self.motion)
        positions = np.empty((frames, len(self.nodes), 3))
        rotations = np.empty((frames, len(self.nodes), 3, 3))
        column = 0
        for i, node in enumerate(self.nodes):
            values = self.motion[:, column : column + len(node.channels)]
            column += len(node.channels)
            offset, rotation = _local_transform(node, values)
            if node.parent < 0:
                positions[:, i], rotations[:, i] = offset, rotation
            else:
                above = rotations[:, node.parent]
                positions[:, i] = positions[:, node.parent] + (above @ offset[..., None])[..., 0]
                rotations[:, i] = above @ rotation
        return positions, rotations

    def rest(self) -> np.ndarray:
        """(nodes, 3) positions with all channels zero, file units."""
        return Bvh(self.nodes, np.zeros_like(self.motion[:1]), self.fps).positions_and_rotations()[0][0]


@dataclass(frozen=True)
class Convention:
    """What BVH files do not tell.

    Attributes:
        metres_per_unit: 0.01 when lengths are centimetres.
        up: "y" or "z", the vertical axis.
    """

    metres_per_unit: float
    up: str


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What is needed of a file, in its units and axes.

    Attributes:
        path: of the file.
        subject: who moves.
        fps: frames per second.
        limbs: (N, 17, 3) float32, those of the package's joints that are nodes of the file; NaN = the others.
        neck, vertex: (N, 3) float32 base of the neck, end of the head's bone.
        head_up, head_forward: (N, 3) float32 unit vectors along the head's bone and the face.
    """

    path: Path
    subject: str
    fps: float
    limbs: np.ndarray
    neck: np.ndarray
    vertex: np.ndarray
    head_up: np.ndarray
    head_forward: np.ndarray

    @property
    def thigh(self) -> float:
        """Length, in the file's units."""
        return float(np.linalg.norm(self.limbs[0, JOINT_INDEX["right_knee"]] - self.limbs[0, JOINT_INDEX["right_hip"]]))

    @property
    def upright(self) -> np.ndarray:
        """(3,) mean direction from the ankles to the neck; as long as it is constant, at most 1."""
        ankles = self.limbs[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
        return unit(self.neck - ankles).mean(axis=0)

    def to_sequence(self, convention: Convention, split: str) -> MotionSequence:
        """Joints in the package's order, metres, z up.

        The pelvis is the middle of the hips, the thorax the base of the neck, the spine halfway between; the head lies
        9 cm under the end of the head's bone, the neck 6 cm in front of the line between.

        Raises:
            MocapError: when it is no person's size.
        """
        scale = convention.metres_per_unit
        if not _POSSIBLE_THIGH_M[0] < scale * self.thigh < _POSSIBLE_THIGH_M[1]:
            raise MocapError(
                f"{self.path}: expected a person, but the thigh is {scale * self.thigh:.3g} m long with {scale:g} "
                "metres per unit, as most files have it; put files of another unit into a data folder of their own"
            )
        joints = self.limbs * scale
        thorax, vertex = self.neck * scale, self.vertex * scale
        joints[:, 0] = 0.5 * (joints[:, JOINT_INDEX["right_hip"]] + joints[:, JOINT_INDEX["left_hip"]])
        joints[:, JOINT_INDEX["thorax"]] = thorax
        joints[:, JOINT_INDEX["spine"]] = 0.5 * (joints[:, 0] + thorax)
        joints[:, JOINT_INDEX["head"]] = vertex - _HEAD_BELOW_VERTEX_M * self.head_up
        between = 0.55 * thorax + 0.45 * joints[:, JOINT_INDEX["head"]]
        joints[:, JOINT_INDEX["neck"]] = between + _NECK_FORWARD_M * self.head_forward
        axes = UP_AXES[convention.up].T.astype(np.float32)
        return MotionSequence(self.path.stem, self.subject, split, self.fps, joints @ axes, self.head_forward @ axes)


def load_bvh_files(paths: Collection[Path], folder: Path) -> list[MotionSequence]:
    """Read files of one unit and one vertical axis, which are told from the people in them.

    The folder right below ``folder`` that a file lies in names its subject; every fifth subject, from the second on in
    the order of names, is "val", the others are "train".

    Args:
        paths: of the files, at least one.
        folder: that all of them lie in, or in folders of.

    Raises:
        MocapError: when one cannot be read, lacks joints, or is no person's size in the unit of the others; when no
            usual unit makes them people, or they stand along another axis than y or z.
    """
    found = [read_landmarks(path, _subject(path, folder)) for path in paths]
    convention = _find_convention(found, folder)
    validation = set(sorted({landmarks.subject for landmarks in found})[1::5])
    return [
        landmarks.to_sequence(convention, "val" if landmarks.subject in validation else "train") for landmarks in found
    ]


def _find_convention(people: Collection[Landmarks], folder: Path) -> Convention:
    """The unit and the vertical axis, given that most people are adults and most of the time upright."""
    thigh = float(np.median([landmarks.thigh for landmarks in people]))
    metres_per_unit = min(_UNITS_M, key=lambda metres: abs(math.log(max(metres * thigh, 1e-9) / _THIGH_M)))
    if not _ADULT_THIGH_M[0] < metres_per_unit * thigh < _ADULT_THIGH_M[1]:
        raise MocapError(
            f"{folder}: expected BVH files in metres, centimetres, millimetres, inches or the unit of CMU's, got "
            f"thighs of {thigh:.3g} units, which are no adult's in any; scale the files to centimetres"
        )
    upright = np.mean([landmarks.upright for landmarks in people], axis=0)
    axis = int(np.argmax(np.abs(upright)))
    if axis == 0 or upright[axis] < 0.0:
        raise MocapError(
            f"{folder}: expected BVH files whose y or z axis points up, got people whose mean direction from ankles to "
            f"neck is {upright.round(2).tolist()}; turn the files"
        )
    return Convention(metres_per_unit, "xyz"[axis])


def read_landmarks(path: Path, subject: str) -> Landmarks:
    """What is needed of one file.

    Raises:
        MocapError: when it cannot be read, or lacks joints.
    """
    try:
        bvh = parse_bvh(path.read_text(encoding="utf-8", errors="replace"))
        return _landmarks(path, subject, bvh)
    except (OSError, ValueError) as error:
        raise MocapError(f"cannot use {path}: {error}") from error


def _subject(path: Path, folder: Path) -> str:
    """Who moves: the folder right below the data folder, or the data folder itself."""
    below = path.relative_to(folder).parts
    return below[0] if len(below) > 1 else folder.resolve().name


def parse_bvh(text: str) -> Bvh:
    """The contents of a BVH file.

    Raises:
        ValueError: when it is none; the message says what was expected.
    """
    hierarchy, found, motion = text.partition("MOTION")
    if not found or "HIERARCHY" not in hierarchy:
        raise ValueError("expected a BVH file with a HIERARCHY and a MOTION part")
    nodes = _parse_hierarchy(iter(hierarchy.split()))
    header = re.match(r"\s*Frames:\s*(\d+)\s*Frame Time:\s*(\S+)", motion)
    if header is None:
        raise ValueError("expected 'Frames:' and 'Frame Time:' after MOTION")
    frames, channels = int(header[1]), sum(len(node.channels) for node in nodes)
    values = np.array(motion[header.end() :].split(), dtype=np.float64)
    if values.size != frames * channels or frames < 2 or not float(header[2]) > 0:
        raise ValueError(
            f"expected at least 2 frames of {channels} channels and a frame time above 0, got {values.size} numbers "
            f"for {frames} frames of {header[2]} s; the file is cut or not a BVH"
        )
    return Bvh(nodes, values.reshape(frames, channels), 1.0 / float(header[2]))


def _parse_hierarchy(words: Iterator[str]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    open_nodes: list[int] = [-1]
    try:
        for word in words:
            if word in ("ROOT", "JOINT"):
                nodes.append(Node(next(words), open_nodes[-1], np.zeros(3), ()))
            elif word == "End":
                next(words)
                nodes.append(Node("", open_nodes[-1], np.zeros(3), ()))
            elif word == "{":
                open_nodes.append(len(nodes) - 1)
            elif word == "}":
                open_nodes.pop()
            elif word == "OFFSET":
                offset = np.array([float(next(words)) for _ in range(3)])
                nodes[-1] = Node(nodes[-1].name, nodes[-1].parent, offset, ())
            elif word == "CHANNELS":
                channels = tuple(next(words) for _ in range(int(next(words))))
                nodes[-1] = Node(nodes[-1].name, nodes[-1].parent, nodes[-1].offset, channels)
            elif word != "HIERARCHY":
                raise ValueError(f"unexpected {word!r} in the hierarchy")
    except (StopIteration, IndexError) as error:
        raise ValueError("the hierarchy breaks off or its braces do not match") from error
    if len(open_nodes) != 1 or not nodes:
        raise ValueError("the hierarchy breaks off or its braces do not match")
    return tuple(nodes)


def _local_transform(node: Node, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset (N, 3) and rotation (N, 3, 3) relative to the parent, from the node's channels (N, channels)."""
    offset = np.broadcast_to(node.offset, (len(values), 3)).copy()
    rotation = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for channel, value in zip(node.channels, values.T, strict=True):
        axis = "XYZ".find(channel[:1].upper())
        if axis < 0 or channel[1:] not in ("rotation", "position"):
            raise ValueError(f"expected channels like Xposition or Zrotation, got {channel!r} at {node.name!r}")
        if channel.endswith("position"):
            offset[:, axis] = value
        else:
            rotation = rotation @ rotation_about(np.eye(3)[axis], np.radians(value))
    return offset, rotation


def _landmarks(path: Path, subject: str, bvh: Bvh) -> Landmarks:
    limbs, neck, head, vertex = _find_joints(bvh.nodes)
    positions, rotations = bvh.positions_and_rotations()
    joints = np.full((len(positions), NUM_JOINTS, 3), np.nan, dtype=np.float32)
    for joint, node in limbs.items():
        joints[:, joint] = positions[:, node]
    rest = bvh.rest()
    right_hip = rest[limbs[JOINT_INDEX["right_hip"]]]
    forward = np.cross(rest[limbs[JOINT_INDEX["left_hip"]]] - right_hip, rest[neck] - right_hip)
    return Landmarks(
        path,
        subject,
        bvh.fps,
        joints,
        neck=positions[:, neck].astype(np.float32),
        vertex=positions[:, vertex].astype(np.float32),
        head_up=unit(positions[:, vertex] - positions[:, head]).astype(np.float32),
        head_forward=unit(rotations[:, head] @ unit(forward)).astype(np.float32),
    )


def _find_joints(nodes: tuple[Node, ...]) -> tuple[dict[int, int], int, int, int]:
    """Nodes of the limb joints, of the base of the neck, of the head and of the end of the head's bone."""
    # "mixamorig:LeftUpLeg", "Left_Up_Leg" and "leftupleg" are one name.
    names = {re.sub(r"[\W_]", "", node.name.split(":")[-1]).lower(): i for i, node in enumerate(nodes) if node.name}
    missing = []

    def find(what: str, aliases: tuple[str, ...]) -> int:
        node = next((names[alias] for alias in aliases if alias in names), -1)
        if node < 0:
            missing.append(f"{what} (one of {', '.join(aliases)})")
        return node

    limbs = {
        JOINT_INDEX[f"{side}_{part}"]: find(
            f"{side} {part}", tuple(alias.format(s=s) for alias in aliases for s in (side, side[0]))
        )
        for side in ("left", "right")
        for part, aliases in _ALIASES.items()
    }
    neck, head = find("base of the neck", _NECK), find("head", _HEAD)
    vertex = next((i for i, node in enumerate(nodes) if node.parent == head and not node.name), -1)
    if vertex < 0:
        missing.append("End Site of the head")
    if missing:
        raise ValueError(f"the file lacks {'; '.join(missing)}; it has {', '.join(sorted(names))}; rename its joints")
    return limbs, neck, head, vertex
