"""The articulated body: adult proportions, poses given as joint angles and foot placements, forward kinematics.

World and segment frames are metres, right-handed, x forward, y left, z up (REP-103); the floor is z = 0. A limb's
segment frame lies at its upper joint and the limb runs along -z; pelvis and trunk lie at the pelvis joint, the head
at the thorax joint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import ADULT_STATURE_M, JOINT_INDEX, NUM_JOINTS

SEGMENTS = (
    "pelvis",
    "trunk",
    "head",
    *(
        f"{side}_{segment}"
        for side in ("left", "right")
        for segment in ("upper_arm", "forearm", "thigh", "shank", "foot")
    ),
)
SEGMENT_INDEX = {name: i for i, name in enumerate(SEGMENTS)}

STATURE_RANGE = (1.55, 1.95)
"""Metres; spans about the 5th percentile of women to the 97th of men."""

STATURE_SPREAD_M = 0.08
"""Standard deviation over women and men together, about. A camera alone cannot tell the size of a body, so how far off
a lifter is in metres depends on how usual the bodies are that it is shown."""

SIDES = {"left": 1.0, "right": -1.0}
"""Sign of y on each side."""


@dataclass(frozen=True)
class Body:
    """Lengths of one adult, metres.

    Ratios to stature are those of R. Drillis and R. Contini, Body Segment Parameters, New York University 1966 (as
    reproduced in D. A. Winter, Biomechanics and Motor Control of Human Movement); the hip joint centres, which they
    do not give, lie 0.106 statures apart, as in optical motion capture.

    Attributes:
        stature: floor to vertex.
        hip: half the distance between the hip joint centres.
        thigh, shank, ankle: hip to knee, knee to ankle, ankle to floor.
        foot: length of the bare foot.
        trunk: pelvis to thorax.
        shoulder: half the distance between the shoulder joint centres.
        shoulder_drop: height of the thorax joint over the shoulder joints.
        head: height of the head joint over the thorax joint.
        upper_arm, forearm, hand: shoulder to elbow, elbow to wrist, wrist to finger tips.
        girth: thickness of the flesh, 1 = average.
    """

    stature: float
    hip: float
    thigh: float
    shank: float
    ankle: float
    foot: float
    trunk: float
    shoulder: float
    shoulder_drop: float
    head: float
    upper_arm: float
    forearm: float
    hand: float
    girth: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Body:
        """An adult of random stature, each length within 4 % of its ratio to it."""
        stature = float(np.clip(rng.normal(ADULT_STATURE_M, STATURE_SPREAD_M), *STATURE_RANGE))

        def length(ratio: float) -> float:
            return float(stature * ratio * rng.uniform(0.96, 1.04))

        thigh, shank, ankle, drop = length(0.245), length(0.246), 0.039 * stature, length(0.026)
        trunk = 0.818 * stature + drop - (thigh + shank + ankle)  # The shoulders stay at their share of stature.
        return cls(
            stature=float(stature),
            hip=length(0.053),
            thigh=thigh,
            shank=shank,
            ankle=float(ankle),
            foot=length(0.152),
            trunk=float(trunk),
            shoulder=length(0.115),
            shoulder_drop=drop,
            head=float(0.182 * stature - drop - HEAD_BELOW_VERTEX),
            upper_arm=length(0.186),
            forearm=length(0.146),
            hand=length(0.108),
            girth=float(rng.uniform(0.92, 1.12)),
        )

    @property
    def scale(self) -> float:
        """Size relative to an adult of 1.75 m."""
        return self.stature / 1.75

    @property
    def flesh(self) -> float:
        """Thickness relative to an average adult of 1.75 m."""
        return self.girth * self.scale

    @property
    def leg(self) -> float:
        """Hip to ankle with a straight knee."""
        return self.thigh + self.shank

    @property
    def heel(self) -> float:
        """How far the heel lies behind the ankle."""
        return 0.25 * self.foot

    @property
    def toe(self) -> float:
        """How far ahead of the ankle the foot bends: about the middle of the toes."""
        return 0.6 * self.foot


HEAD_BELOW_VERTEX = 0.09
HEAD_FORWARD = 0.022
"""How far the head joint lies in front of the line through the neck."""

NECK_FORWARD = 0.06
"""How far the neck joint lies in front of the line from thorax to head."""


@dataclass(frozen=True)
class Arm:
    """Joint angles of an arm, degrees; all zero = hanging, palm to the thigh.

    Attributes:
        flexion: at the shoulder, forward.
        abduction: at the shoulder, away from the body.
        rotation: about the upper arm; positive (internal) turns a bent forearm towards the other arm.
        elbow: flexion.
    """

    flexion: float = 0.0
    abduction: float = 8.0
    rotation: float = 12.0
    elbow: float = 14.0


@dataclass(frozen=True)
class Foot:
    """Placement of a foot.

    Attributes:
        ankle: (3,) metres, on the person's floor.
        heading: degrees, counter-clockwise seen from above.
        pitch: degrees, positive = toes down.
    """

    ankle: np.ndarray
    heading: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class Pose:
    """One posture on the person's own floor; angles in degrees.

    The legs follow from pelvis and feet; everything above the pelvis is given by joint angles.

    Attributes:
        pelvis: (3,) metres.
        heading: of the whole body, counter-clockwise seen from above.
        pelvis_tilt, trunk_tilt, head_tilt: roll (to the right), pitch (forward), yaw (to the left). Pelvis and trunk
            are relative to the heading, the head to the trunk.
        left_arm, right_arm, left_foot, right_foot: the limbs.
    """

    pelvis: np.ndarray
    heading: float
    left_foot: Foot
    right_foot: Foot
    left_arm: Arm = Arm()
    right_arm: Arm = Arm()
    pelvis_tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    trunk_tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    head_tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Placement:
    """Where the segments are.

    Attributes:
        rotation: (15, 3, 3) from segment frames, ordered as ``SEGMENTS``.
        origin: (15, 3) metres.
    """

    rotation: np.ndarray
    origin: np.ndarray

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Placement:
        """The same body after a rigid motion."""
        return Placement(rotation @ self.rotation, self.origin @ rotation.T + translation)

    def matrices(self) -> np.ndarray:
        """(15, 4, 4): segment frames to the frame that the placement is given in."""
        result = np.zeros((len(self.origin), 4, 4))
        result[:, :3, :3], result[:, :3, 3], result[:, 3, 3] = self.rotation, self.origin, 1.0
        return result


def rotation(roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """(3, 3) rotation by degrees about x, then y, then z of the fixed frame."""
    cr, sr = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def place(body: Body, pose: Pose) -> Placement:
    """Forward kinematics: where the segments of ``body`` are in ``pose``, in the frame of the person's floor."""
    result = Placement(np.empty((len(SEGMENTS), 3, 3)), np.empty((len(SEGMENTS), 3)))

    def put(name: str, turn: np.ndarray, origin: np.ndarray) -> None:
        result.rotation[SEGMENT_INDEX[name]], result.origin[SEGMENT_INDEX[name]] = turn, origin

    heading = rotation(yaw=pose.heading)
    pelvis = heading @ rotation(*pose.pelvis_tilt)
    trunk = heading @ rotation(*pose.trunk_tilt)
    put("pelvis", pelvis, pose.pelvis)
    put("trunk", trunk, pose.pelvis)
    put("head", trunk @ rotation(*pose.head_tilt), pose.pelvis + body.trunk * trunk[:, 2])
    for side, y in SIDES.items():
        shoulder = pose.pelvis + trunk @ (0.0, y * body.shoulder, body.trunk - body.shoulder_drop)
        upper, fore = _arm(getattr(pose, f"{side}_arm"), trunk, y)
        put(f"{side}_upper_arm", upper, shoulder)
        put(f"{side}_forearm", fore, shoulder - body.upper_arm * upper[:, 2])
        foot: Foot = getattr(pose, f"{side}_foot")
        foot_turn = rotation(pitch=foot.pitch, yaw=foot.heading)
        hip = pose.pelvis + pelvis @ (0.0, y * body.hip, 0.0)
        # The knee bends where foot and pelvis point; the sum also works when one of them points up or down.
        thigh, shank = _leg(body, hip, foot.ankle, pelvis[:, 0] + rotation(yaw=foot.heading)[:, 0])
        knee = hip - body.thigh * thigh[:, 2]
        put(f"{side}_thigh", thigh, hip)
        put(f"{side}_shank", shank, knee)
        put(f"{side}_foot", foot_turn, knee - body.shank * shank[:, 2])
    return result


def joints(body: Body, placement: Placement) -> np.ndarray:
    """(17, 3) joints in Human3.6M order, in the placement's frame, metres."""
    result = np.empty((NUM_JOINTS, 3))
    pelvis = placement.origin[SEGMENT_INDEX["pelvis"]]
    thorax = placement.origin[SEGMENT_INDEX["head"]]
    head_turn = placement.rotation[SEGMENT_INDEX["head"]]
    head = thorax + head_turn @ (HEAD_FORWARD, 0.0, body.head)
    trunk = {
        "pelvis": pelvis,
        "spine": 0.5 * (pelvis + thorax),
        "thorax": thorax,
        "neck": 0.55 * thorax + 0.45 * head + NECK_FORWARD * head_turn[:, 0],
        "head": head,
    }
    for name, position in trunk.items():
        result[JOINT_INDEX[name]] = position
    starts = {"shoulder": "upper_arm", "elbow": "forearm", "hip": "thigh", "knee": "shank", "ankle": "foot"}
    for side in SIDES:
        for joint, segment in starts.items():
            result[JOINT_INDEX[f"{side}_{joint}"]] = placement.origin[SEGMENT_INDEX[f"{side}_{segment}"]]
        forearm = SEGMENT_INDEX[f"{side}_forearm"]
        down = -placement.rotation[forearm, :, 2]
        result[JOINT_INDEX[f"{side}_wrist"]] = placement.origin[forearm] + body.forearm * down
    return result


def _arm(arm: Arm, trunk: np.ndarray, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of upper arm and forearm."""
    upper = trunk @ rotation(pitch=-arm.flexion) @ rotation(roll=y * arm.abduction) @ rotation(yaw=-y * arm.rotation)
    return upper, upper @ rotation(pitch=-arm.elbow)


def _leg(body: Body, hip: np.ndarray, ankle: np.ndarray, forward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of thigh and shank that bring the ankle to its place, or as near as a straight knee allows."""
    reach = ankle - hip
    distance = float(np.linalg.norm(reach))
    down = reach / distance
    distance = min(distance, 0.9999 * body.leg)
    bend = forward - (forward @ down) * down
    bend /= np.linalg.norm(bend)
    # Law of cosines in the triangle hip, knee, ankle.
    cosine = (body.thigh**2 + distance**2 - body.shank**2) / (2.0 * body.thigh * distance)
    sine = math.sqrt(max(0.0, 1.0 - cosine**2))
    thigh_axis = cosine * down + sine * bend
    shank_axis = (distance * down - body.thigh * thigh_axis) / body.shank
    left = np.cross(bend, down)
    return _limb_rotation(thigh_axis, left), _limb_rotation(shank_axis, left)


def _limb_rotation(axis: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Rotation of a limb that runs along ``axis``, with its y axis along ``left``."""
    return np.stack([np.cross(left, -axis), left, -axis], axis=1)
