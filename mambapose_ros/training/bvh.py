"""Motion capture of the user's own, from BVH files (Biovision Hierarchy) of common rigs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, NUM_JOINTS
from mambapose_ros.training.kinematics import rotation_about, unit
from mambapose_ros.training.mocap import MocapError, Sequence

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
_PLAUSIBLE_THIGH_M = (0.1, 0.8)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def load_bvh_folder(
    folder: str | Path, metres_per_unit: float, up: str, val_subjects: Collection[str] = ()
) -> list[Sequence]:
    """All BVH files of a folder and the folders in it.

    The folder that a file lies in names its subject.

    Args:
        folder: to search.
        metres_per_unit: BVH files do not tell their unit; 0.01 when they are in centimetres.
        up: "y" or "z", the files' vertical axis.
        val_subjects: subjects to validate on; the others are for training.

    Raises:
        MocapError: as ``load_bvh``, when there are no files, and when a subject of ``val_subjects`` is not there.
    """
    paths = sorted(Path(folder).rglob("*.bvh"))
    subjects = {path.parent.name for path in paths}
    if not paths or not subjects.issuperset(val_subjects):
        raise MocapError(
            f"expected .bvh files of the subjects {sorted(val_subjects)} in {folder}, found {len(paths)} files of "
            f"{sorted(subjects)}; a subject is the folder that its files lie in"
        )
    return [
        load_bvh(path, metres_per_unit, up, "val" if path.parent.name in val_subjects else "train") for path in paths
    ]


def load_bvh(path: str | Path, metres_per_unit: float, up: str, split: str = "train") -> Sequence:
    """Read one file as joints in the package's order.

    Limb joints are nodes of the file. The pelvis is the middle of the hips, the thorax the base of the neck, the spine
    halfway between; the head lies 9 cm under the end of the head's bone, the neck 6 cm in front of the line between.

    Args:
        path: of the file.
        metres_per_unit, up: as of ``load_bvh_folder``.
        split: that the sequence belongs to.

    Raises:
        MocapError: when the file cannot be read, lacks joints, or is no person's size in the given unit.
    """
    path = Path(path)
    if up not in UP_AXES:
        raise MocapError(f"expected the up axis to be one of {sorted(UP_AXES)}, got {up!r}")
    try:
        bvh = parse_bvh(path.read_text(encoding="utf-8", errors="replace"))
        joints, head_forward = _to_h36m(bvh, metres_per_unit)
    except (OSError, ValueError) as error:
        raise MocapError(f"cannot use {path}: {error}") from error
    axes = UP_AXES[up].T
    return Sequence(
        path.stem,
        path.resolve().parent.name,
        split,
        bvh.fps,
        (joints @ axes).astype(np.float32),
        (head_forward @ axes).astype(np.float32),
    )


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


def _to_h36m(bvh: Bvh, metres_per_unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 17, 3) metres and the direction of the face (N, 3), in the file's axes."""
    limbs, neck, head, vertex = _find_joints(bvh.nodes)
    positions, rotations = bvh.positions_and_rotations()
    positions = positions * metres_per_unit
    joints = np.empty((len(positions), NUM_JOINTS, 3))
    for joint, node in limbs.items():
        joints[:, joint] = positions[:, node]
    right_hip, left_hip = JOINT_INDEX["right_hip"], JOINT_INDEX["left_hip"]
    thigh = np.linalg.norm(joints[0, JOINT_INDEX["right_knee"]] - joints[0, right_hip])
    if not _PLAUSIBLE_THIGH_M[0] < thigh < _PLAUSIBLE_THIGH_M[1]:
        raise ValueError(
            f"expected a person, but the thigh is {thigh:.3g} m long with {metres_per_unit:g} metres per unit; "
            "give the file's unit, e.g. 0.01 for centimetres or 0.0254 for inches"
        )
    rest = bvh.rest()
    forward = np.cross(rest[limbs[left_hip]] - rest[limbs[right_hip]], rest[neck] - rest[limbs[right_hip]])
    head_forward = unit(rotations[:, head] @ unit(forward))
    upward = unit(positions[:, vertex] - positions[:, head])
    joints[:, 0] = 0.5 * (joints[:, right_hip] + joints[:, left_hip])
    joints[:, JOINT_INDEX["thorax"]] = positions[:, neck]
    joints[:, JOINT_INDEX["spine"]] = 0.5 * (joints[:, 0] + positions[:, neck])
    joints[:, JOINT_INDEX["head"]] = positions[:, vertex] - _HEAD_BELOW_VERTEX_M * upward
    between = 0.55 * positions[:, neck] + 0.45 * joints[:, JOINT_INDEX["head"]]
    joints[:, JOINT_INDEX["neck"]] = between + _NECK_FORWARD_M * head_forward
    return joints, head_forward


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
