"""Keypoints as a real 2D detector would have found them.

Fitted to MediaPipe pose on calibrated multi-view video: medians, 90th percentiles and correlations over time of its
errors against triangulated joints. Errors are .93 correlated from frame to frame at 60 Hz and .47 over six frames,
which no first order process is; a Matérn 3/2 process of 72 ms with a little white noise is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import FLIP, JOINT_INDEX, JOINT_NAMES, NUM_JOINTS
from mambapose_ros.training.cameras import Cameras, project
from mambapose_ros.training.kinematics import body_axes, unit
from mambapose_ros.training.random_process import runs, slow_noise

_LIMBS = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)
LANDMARKS = (*_LIMBS, "ears", "nose", "head")
"""What detectors find, and joints are made of: ``ears`` is the point between them, ``head`` the one that a detector's
face landmarks are combined to."""

_MADE_OF = {
    "pelvis": {"left_hip": 0.5, "right_hip": 0.5},
    "spine": {"left_hip": 0.25, "right_hip": 0.25, "left_shoulder": 0.2, "right_shoulder": 0.2, "ears": 0.1},
    "thorax": {"left_shoulder": 0.4, "right_shoulder": 0.4, "ears": 0.2},
    "neck": {"left_shoulder": 0.22, "right_shoulder": 0.22, "ears": 0.11 - 0.65, "head": 0.45, "nose": 0.65},
    "head": {"head": 1.0},
}
LANDMARKS_TO_H36M = np.zeros((NUM_JOINTS, len(LANDMARKS)), np.float32)
"""(17, 15) joints as combinations of landmarks, those of ``skeleton.BLAZEPOSE_TO_H36M`` and ``COCO_TO_H36M``."""
for _joint, _name in enumerate(JOINT_NAMES):
    for _landmark, _share in _MADE_OF.get(_name, {_name: 1.0}).items():
        LANDMARKS_TO_H36M[_joint, LANDMARKS.index(_landmark)] = _share
LANDMARKS_TO_H36M.flags.writeable = False

_LANDMARK_JOINT = [JOINT_INDEX[name if name in JOINT_INDEX else "head"] for name in LANDMARKS]
_PART = {name: name.split("_")[-1] for name in LANDMARKS}


@dataclass(frozen=True)
class DetectorFamily:
    """How the detectors of one kind differ from motion capture, metres on an average adult.

    Attributes:
        share: of the windows that are seen by such a detector.
        from_landmarks: joints are made of its landmarks; False = they are those of motion capture.
        hip_down: how much lower along the trunk its hips lie.
        hip_in: how much nearer to each other, each.
        shoulder_out: how much farther apart its shoulders lie, each.
        spread: standard deviation around these, and of the other landmarks' offsets, per window and axis.
        white_gain: white part of its errors over that of a detector that smooths over time.
        delay: of its smoothing, frames.
        reports_all: it guesses joints outside the image and hidden ones, with low confidence, instead of leaving
            them out.
    """

    share: float
    from_landmarks: bool
    hip_down: float
    hip_in: float
    shoulder_out: float
    spread: float
    white_gain: float
    delay: float
    reports_all: bool


MEDIAPIPE = DetectorFamily(
    share=0.55,
    from_landmarks=True,
    hip_down=0.085,
    hip_in=0.034,
    shoulder_out=0.032,
    spread=0.015,
    white_gain=1.0,
    delay=0.2,
    reports_all=True,
)
COCO = DetectorFamily(
    share=0.3,
    from_landmarks=True,
    hip_down=0.05,
    hip_in=0.025,
    shoulder_out=0.015,
    spread=0.02,
    white_gain=1.85,
    delay=0.0,
    reports_all=False,
)
MOCAP = DetectorFamily(
    share=0.15,
    from_landmarks=False,
    hip_down=0.0,
    hip_in=0.0,
    shoulder_out=0.0,
    spread=0.0,
    white_gain=1.0,
    delay=0.0,
    reports_all=False,
)
FAMILIES = (MEDIAPIPE, COCO, MOCAP)


@dataclass(frozen=True)
class JointError:
    """Error of one kind of joint, as a fraction of the height of the box around the person.

    Attributes:
        median: of the distance from the true place.
        spread: standard deviation of the logarithm of the error's amplitude, which makes tails heavy.
        white: standard deviation of the part that is new in each frame, over that of the whole; of a detector that
            smooths over time.
    """

    median: float
    spread: float
    white: float


ERRORS = {
    "shoulder": JointError(0.0094, 0.32, 0.06),
    "elbow": JointError(0.0111, 0.44, 0.08),
    "wrist": JointError(0.0098, 0.56, 0.24),
    "hip": JointError(0.0115, 0.54, 0.03),
    "knee": JointError(0.0114, 0.60, 0.08),
    "ankle": JointError(0.0094, 0.72, 0.15),
    "ears": JointError(0.0075, 0.40, 0.08),
    "nose": JointError(0.0075, 0.40, 0.08),
    "head": JointError(0.0090, 0.40, 0.08),
}

CONSTANT_SHARE = 0.22
"""Of the error's variance, what stays the same throughout a window: (.0076 / .0161)^2."""

_ERROR_TIME_S = 0.072
_AMPLITUDE_TIME_S = 0.5
_RAYLEIGH_MEDIAN = 1.177
_COMMON = 0.5  # of the amplitude's variance, what all joints of a person share
# Of landmarks that are visible, hidden by the body itself, and outside the image:
_ERROR_FACTOR = np.array([1.0, 1.5, 2.5], np.float32)
_DOUBT = np.array([0.0, 2.0, 4.0], np.float32)  # subtracted from the logit of the confidence
_PIXEL_ERROR = 0.2
_SWAPS_PER_S = np.array([0.01, 0.2], np.float32)  # seeing the face, and not
_SWAP_TIME_S = 0.4
_LOSSES_PER_S = 0.03
_LOSS_TIME_S = 0.3


@dataclass(frozen=True, eq=False)
class Body:
    """The person of each window in the camera's optical frame: joints (B, F, 17, 3) metres, head_forward (B, F, 3)
    unit vector, scale (B,) relative to an average adult."""

    joints: np.ndarray
    head_forward: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False)
class Detections:
    """What the detector reports.

    Attributes:
        rays: (B, F, 17, 2) float32 on the plane z = 1; where confidence is 0 they mean nothing.
        confidence: (B, F, 17) float32 in [0, 1]; 0 = missing.
        swapped: (B, F) bool, left and right of the whole body are exchanged.
    """

    rays: np.ndarray
    confidence: np.ndarray
    swapped: np.ndarray


def choose_families(rng: np.random.Generator, people: int) -> np.ndarray:
    """(P,) random indices into ``FAMILIES``."""
    return rng.choice(len(FAMILIES), size=people, p=[family.share for family in FAMILIES])


def detect(
    rng: np.random.Generator,
    body: Body,
    cameras: Cameras,
    occluded: np.ndarray,
    family: np.ndarray,
    interval: np.ndarray,
) -> Detections:
    """Simulate the detector.

    Args:
        rng: source of randomness.
        body: the person.
        cameras: that see it.
        occluded: (B, F, 17) bool, hidden by the body itself.
        family: (B,) as of ``choose_families``.
        interval: (B,) seconds between frames.
    """
    meant = project(define_joints(rng, body, family))
    beyond = np.abs(meant) > cameras.half_extent[:, None, None]
    outside = beyond[..., 0] | beyond[..., 1]
    box = box_side(meant)
    plight = (2 * outside + (occluded & ~outside))[..., _LANDMARK_JOINT]
    amplitude = error_amplitude(rng, interval, plight.shape[1]) * _ERROR_FACTOR[plight]
    white_gain, delay = np.array([(f.white_gain, f.delay) for f in FAMILIES], np.float32)[family].T
    error = keypoint_error(rng, amplitude, white_gain, interval) * box[..., None, None]
    error += rng.standard_normal(error.shape, dtype=np.float32) * (_PIXEL_ERROR * cameras.pixel)[:, None, None, None]

    rays = meant.copy()
    rays[:, 1:] -= delay[:, None, None, None] * (meant[:, 1:] - meant[:, :-1])
    rays += LANDMARKS_TO_H36M @ error
    off = np.hypot(*np.moveaxis(rays - meant, 3, 0))
    confidence = _confidence(rng, amplitude, _DOUBT[plight], off / box[..., None], interval)
    confidence[_missing(rng, confidence, outside, family, interval)] = 0.0
    swapped = _swapped(rng, body, interval)
    rays[swapped] = rays[swapped][:, list(FLIP)]
    confidence[swapped] = confidence[swapped][:, list(FLIP)]
    return Detections(rays, confidence, swapped)


def define_joints(rng: np.random.Generator, body: Body, family: np.ndarray) -> np.ndarray:
    """Where the detectors' families take the joints to be, (B, F, 17, 3) metres, optical frame.

    Families define hips, shoulders and face in their own ways; pelvis, spine, thorax, neck and head follow from those
    as in ``skeleton``.
    """
    joints = body.joints
    landmarks = joints[:, :, _LANDMARK_JOINT]
    up = unit(joints[:, :, JOINT_INDEX["head"]] - joints[:, :, JOINT_INDEX["thorax"]])
    scale = body.scale[:, None, None]
    landmarks[:, :, LANDMARKS.index("ears")] -= 0.035 * scale * up
    landmarks[:, :, LANDMARKS.index("nose")] += scale * (0.09 * body.head_forward - 0.05 * up)
    offsets = _definition_offsets(rng, family) * scale
    landmarks += offsets[:, None] @ body_axes(joints)
    made = LANDMARKS_TO_H36M @ landmarks
    as_captured = ~np.array([f.from_landmarks for f in FAMILIES])[family]
    made[as_captured] = joints[as_captured]
    return made


def _definition_offsets(rng: np.random.Generator, family: np.ndarray) -> np.ndarray:
    """(B, 15, 3) metres on an average adult, along the body's left, up and forward."""
    parameters = np.array([[f.hip_down, f.hip_in, f.shoulder_out, f.spread] for f in FAMILIES], np.float32)
    hip_down, hip_in, shoulder_out, spread = parameters[family].T
    offsets = rng.standard_normal((len(family), len(LANDMARKS), 3), dtype=np.float32) * spread[:, None, None]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip, shoulder = LANDMARKS.index(f"{side}_hip"), LANDMARKS.index(f"{side}_shoulder")
        offsets[:, hip, 0] -= sign * hip_in
        offsets[:, hip, 1] -= hip_down
        offsets[:, shoulder, 0] += sign * shoulder_out
    return offsets


def box_side(rays: np.ndarray) -> np.ndarray:
    """(B, F) longer side of the box around the joints (B, F, 17, 2): the height, but for people who lie."""
    x, y = (np.ascontiguousarray(rays[..., axis]) for axis in (0, 1))
    return np.maximum(np.ptp(x, axis=2), np.ptp(y, axis=2))


def error_amplitude(rng: np.random.Generator, interval: np.ndarray, frames: int) -> np.ndarray:
    """(B, F, 15) standard deviation per axis of each landmark's error, fraction of the box: good and bad times."""
    kinds = [ERRORS[_PART[name]] for name in LANDMARKS]
    spread = np.array([kind.spread for kind in kinds], np.float32)
    typical = np.array([kind.median / _RAYLEIGH_MEDIAN for kind in kinds], np.float32)
    common = rng.standard_normal((len(interval), 1, 1), dtype=np.float32) * np.float32(np.sqrt(_COMMON))
    own = slow_noise(rng, interval, frames, len(LANDMARKS), _AMPLITUDE_TIME_S) * np.float32(np.sqrt(1.0 - _COMMON))
    return typical * np.exp(spread * (common + own))


def keypoint_error(
    rng: np.random.Generator, amplitude: np.ndarray, white_gain: np.ndarray, interval: np.ndarray
) -> np.ndarray:
    """Errors of the landmarks: a constant, a slowly varying and a white part.

    Args:
        rng: source of randomness.
        amplitude: (B, F, 15) standard deviation per axis, in any unit.
        white_gain: (B,) as of ``DetectorFamily``.
        interval: (B,) seconds between frames.

    Returns:
        (B, F, 15, 2) float32 in the unit of ``amplitude``.
    """
    people, frames, landmarks = amplitude.shape
    white = np.array([[ERRORS[_PART[name]].white] for name in LANDMARKS], np.float32)
    constant = rng.standard_normal((people, 1, landmarks, 2), dtype=np.float32)
    slow = slow_noise(rng, interval, frames, 2 * landmarks, _ERROR_TIME_S).reshape(people, frames, landmarks, 2)
    error = slow * np.sqrt(1.0 - CONSTANT_SHARE - white**2)
    error += constant * np.float32(np.sqrt(CONSTANT_SHARE))
    error += rng.standard_normal(error.shape, dtype=np.float32) * (white * white_gain[:, None, None, None])
    return error * amplitude[..., None]


_USED = [np.flatnonzero(row) for row in LANDMARKS_TO_H36M]
_USED_FLAT = np.concatenate(_USED)
_USED_STARTS = np.cumsum([0, *(len(used) for used in _USED[:-1])])


def _confidence(
    rng: np.random.Generator, amplitude: np.ndarray, doubt: np.ndarray, off: np.ndarray, interval: np.ndarray
) -> np.ndarray:
    """(B, F, 17): it falls with the error to be expected, with the error made, and with doubt.

    As in ``skeleton.map_landmarks``, a joint is as certain as the least certain landmark that it is made of.
    """
    people, frames, landmarks = amplitude.shape
    confident = rng.normal(4.0, 0.8, (people, 1, 1)).astype(np.float32)
    strict = rng.uniform(0.6, 1.6, (people, 1, 1)).astype(np.float32)
    mood = slow_noise(rng, interval, frames, landmarks, _AMPLITUDE_TIME_S)
    score = confident - strict * np.log(amplitude * 100.0) - doubt + 0.5 * mood
    score = np.minimum.reduceat(score[..., _USED_FLAT], _USED_STARTS, axis=2)
    score -= strict * np.log1p(off * 50.0)
    return 1.0 / (1.0 + np.exp(-score))


def _missing(
    rng: np.random.Generator, confidence: np.ndarray, outside: np.ndarray, family: np.ndarray, interval: np.ndarray
) -> np.ndarray:
    """(B, F, 17) bool: the whole person for a moment, and what a detector leaves out that does not report all."""
    people, frames = confidence.shape[:2]
    lost = runs(rng, interval, np.full((people, frames, 1), _LOSSES_PER_S, np.float32), _LOSS_TIME_S)
    reports_all = np.array([f.reports_all for f in FAMILIES])[family][:, None, None]
    threshold = rng.uniform(0.0, 0.6, (people, 1, 1))
    return lost | (~reports_all & (outside | (confidence < threshold)))


def _swapped(rng: np.random.Generator, body: Body, interval: np.ndarray) -> np.ndarray:
    """(B, F) bool: left and right of the whole body are exchanged, mostly while the face is hidden."""
    view = unit(body.joints[:, :, JOINT_INDEX["head"]])
    away = (np.einsum("bfc,bfc->bf", view, body.head_forward) > 0.3).astype(np.int64)
    return runs(rng, interval, _SWAPS_PER_S[away][..., None], _SWAP_TIME_S)[..., 0]
