"""Motions: postures as functions of time, written for this package.

Each function takes seconds (any, also negative) and a body, and returns a ``Pose`` on the person's own floor, whose
origin is where the person stands or the middle of the track that they walk on; x is where they face at rest. Feet on
the ground stay where they were put, so they never slide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mambapose_ros.synthetic.body import SIDES, Arm, Body, Foot, Pose

Track = Callable[[float], tuple[float, float, float]]
"""Distance along a closed track -> x, y in metres and heading in degrees."""


@dataclass(frozen=True)
class Motion:
    """A motion, and the room that it needs.

    Attributes:
        pose: seconds and body -> pose.
        upright: the person stays on their feet with a vertical trunk.
        extent: metres from the origin that the person reaches along x and along y.
        seat: height of the stool behind the person, metres; 0 = none.
    """

    pose: Callable[[float, Body], Pose]
    upright: bool
    extent: tuple[float, float] = (0.5, 0.5)
    seat: float = 0.0

    @property
    def travels(self) -> bool:
        """Whether the person goes round a track, which is longer than it is wide."""
        return self.extent[0] > self.extent[1]


@dataclass(frozen=True)
class _Gait:
    """How feet follow a track. Lengths and times are in steps; step n passes under the pelvis at time n.

    Attributes:
        contact: how long before that a foot touches the floor.
        stance: how long it stays.
        strike, push: pitch of the foot when it lands and when it leaves, degrees.
        lift: height of the ankle in mid swing, metres.
        width: distance of each foot from the track, metres.
    """

    contact: float
    stance: float
    strike: float
    push: float
    lift: float
    width: float

    def foot(self, time: float, side: int, body: Body, track: Track, step: float) -> Foot:
        """Foot ``side`` (0 left, 1 right) at ``time``; one step is ``step`` metres of the track."""
        n = 2 * math.floor((time + self.contact - side) / 2) + side
        since_contact = time - (n - self.contact)
        if since_contact < self.stance:
            return self._stance(since_contact / self.stance, n, body, track, step)
        phase = (since_contact - self.stance) / (2.0 - self.stance)
        lifted = self._stance(1.0, n, body, track, step)
        landed = self._stance(0.0, n + 2, body, track, step)
        s = _smooth(phase)
        ankle = lifted.ankle + s * (landed.ankle - lifted.ankle)
        ankle[2] += self.lift * math.sin(math.pi * phase**0.8) ** 2
        turn = (landed.heading - lifted.heading + 180.0) % 360.0 - 180.0
        return Foot(ankle, lifted.heading + s * turn, lifted.pitch + s * (landed.pitch - lifted.pitch))

    def _stance(self, phase: float, n: int, body: Body, track: Track, step: float) -> Foot:
        """Foot on print ``n``: it lands on the heel, lies flat, and rolls over the toes."""
        x, y, heading = track(n * step)
        pitch = self.strike * (1.0 - _smooth(phase / 0.15)) + self.push * _smooth((phase - 0.5) / 0.5)
        pivot = body.toe if pitch > 0.0 else -body.heel
        c, s = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
        forward, up = pivot - pivot * c + body.ankle * s, pivot * s + body.ankle * c
        out = self.width if n % 2 == 0 else -self.width
        ch, sh = math.cos(math.radians(heading)), math.sin(math.radians(heading))
        return Foot(np.array([x + ch * forward - sh * out, y + sh * forward + ch * out, up]), heading, pitch)


def _stadium(straight: float, radius: float) -> Track:
    """Counter-clockwise track of two straights of ``straight`` metres, along x, joined by half circles."""
    turn = math.pi * radius
    lap = 2.0 * (straight + turn)

    def track(distance: float) -> tuple[float, float, float]:
        s = distance % lap
        half, s = divmod(s, straight + turn)
        if s < straight:
            x, y, heading = s - 0.5 * straight, -radius, 0.0
        else:
            angle = (s - straight) / radius
            x, y = 0.5 * straight + radius * math.sin(angle), -radius * math.cos(angle)
            heading = math.degrees(angle)
        # The second half of the track is the first turned by half a circle; rounding may give a third.
        return (x, y, heading) if half % 2 == 0 else (-x, -y, heading + 180.0)

    return track


def _spot(distance: float) -> tuple[float, float, float]:
    """The track of somebody who turns on the spot; here a metre of track is a radian."""
    return 0.0, 0.0, math.degrees(distance)


_WALK = _Gait(contact=0.42, stance=1.16, strike=-16.0, push=50.0, lift=0.06, width=0.07)
_RUN = _Gait(contact=0.24, stance=0.70, strike=-4.0, push=52.0, lift=0.30, width=0.045)
_TURN = _Gait(contact=0.5, stance=1.3, strike=0.0, push=14.0, lift=0.05, width=0.11)
_WALK_TRACK = _stadium(1.7, 0.65)
_RUN_TRACK = _stadium(1.9, 0.75)


def walk(t: float, body: Body) -> Pose:
    """Walk round a track at 0.7 statures a second (about 4.4 km/h)."""
    time, step = 1.8 * t, 0.38 * body.stature
    swing = math.cos(math.pi * (time + 0.45))  # 1 when the left foot is ahead.
    height = body.ankle + body.leg * (0.966 + 0.015 * math.cos(2.0 * math.pi * time))
    sway = 0.018 * math.sin(math.pi * (time + 0.5))
    return _travel(
        _WALK,
        _WALK_TRACK,
        time,
        step,
        body,
        height=height,
        sway=sway,
        lean=_lean(_WALK_TRACK, time * step, 1.8 * step, most=5.0),
        pitch=3.0,
        twist=4.5 * swing,
        left_arm=Arm(flexion=2.0 - 21.0 * swing, abduction=7.0, elbow=22.0 - 10.0 * swing),
        right_arm=Arm(flexion=2.0 + 21.0 * swing, abduction=7.0, elbow=22.0 + 10.0 * swing),
    )


def run(t: float, body: Body) -> Pose:
    """Jog round a track at 1.25 statures a second (about 8 km/h), with a flight phase after each step."""
    time, step = 2.65 * t, 0.47 * body.stature
    swing = math.cos(math.pi * (time + 0.3))
    height = body.ankle + body.leg * 0.93 - 0.03 * math.cos(2.0 * math.pi * (time - 0.04))
    return _travel(
        _RUN,
        _RUN_TRACK,
        time,
        step,
        body,
        height=height,
        sway=0.0,
        lean=_lean(_RUN_TRACK, time * step, 2.65 * step, most=16.0),
        pitch=9.0,
        twist=7.0 * swing,
        left_arm=Arm(flexion=-12.0 - 34.0 * swing, abduction=14.0, rotation=24.0, elbow=88.0 - 14.0 * swing),
        right_arm=Arm(flexion=-12.0 + 34.0 * swing, abduction=14.0, rotation=24.0, elbow=88.0 + 14.0 * swing),
    )


def turn(t: float, body: Body) -> Pose:
    """Turn round on the spot, 32 degrees a step, looking ahead into the turn."""
    time, step = 1.7 * t, math.radians(32.0)
    swing = math.cos(math.pi * (time + 0.45))
    height = body.ankle + body.leg * (0.987 + 0.005 * math.cos(2.0 * math.pi * time))
    return _travel(
        _TURN,
        _spot,
        time,
        step,
        body,
        height=height,
        sway=0.025 * math.sin(math.pi * (time + 0.5)),
        lean=0.0,
        pitch=1.0,
        twist=2.0 * swing,
        left_arm=Arm(flexion=2.0 - 6.0 * swing, abduction=9.0),
        right_arm=Arm(flexion=2.0 + 6.0 * swing, abduction=9.0),
        head_yaw=14.0,
    )


def wave(t: float, body: Body) -> Pose:
    """Wave with the raised right hand."""
    shift = 0.012 * math.sin(0.9 * t)
    beat = math.sin(2.0 * math.pi * 1.3 * t)
    return _standing(
        body,
        shift=(0.0, shift, 0.0),
        trunk_tilt=(2.0 + 0.6 * beat, 1.0, -3.0),
        head_tilt=(-2.0, 2.0, 5.0 * math.sin(0.7 * t)),
        right_arm=Arm(flexion=14.0, abduction=88.0, rotation=-84.0 + 6.0 * beat, elbow=76.0 + 24.0 * beat),
        left_arm=Arm(flexion=3.0 * math.sin(0.9 * t), abduction=8.0, elbow=16.0),
    )


def idle(t: float, body: Body) -> Pose:
    """Stand at ease: shift weight, breathe, look around."""
    shift = math.sin(0.75 * t)
    look = math.sin(0.53 * t) + 0.5 * math.sin(1.31 * t + 1.0)
    breath = math.sin(1.6 * t)
    return _standing(
        body,
        shift=(0.004 * breath, 0.022 * shift, 0.0),
        pelvis_tilt=(-1.8 * shift, 0.0, 2.5 * shift),
        trunk_tilt=(1.2 * shift, 1.5 + 0.6 * breath, -2.0 * shift),
        head_tilt=(-2.0 * shift, 2.0 + 4.0 * math.sin(0.4 * t), 20.0 * look),
        left_arm=Arm(flexion=3.0 * shift, abduction=8.0 + breath, elbow=15.0 + 3.0 * shift),
        right_arm=Arm(flexion=-3.0 * shift, abduction=8.0 + breath, elbow=15.0 - 3.0 * shift),
    )


def reach(t: float, body: Body) -> Pose:
    """Reach up and ahead with one arm, then the other."""
    right = _keyed(t, 6.0, (0.3, 0.0), (1.3, 1.0), (2.0, 1.0), (2.9, 0.0))
    left = _keyed(t, 6.0, (3.3, 0.0), (4.3, 1.0), (5.0, 1.0), (5.9, 0.0))
    both = right + left

    def arm(level: float) -> Arm:
        return Arm(
            flexion=122.0 * level,
            abduction=8.0 + 8.0 * level,
            rotation=12.0 - 12.0 * level,
            elbow=14.0 + 60.0 * level * (1.0 - level),
        )

    return _standing(
        body,
        shift=(0.035 * both, 0.0, 0.0),
        pelvis_tilt=(0.0, 0.0, 6.0 * (right - left)),
        trunk_tilt=(4.0 * (left - right), 7.0 * both, 14.0 * (right - left)),
        head_tilt=(0.0, -14.0 * both, -8.0 * (right - left)),
        left_arm=arm(left),
        right_arm=arm(right),
    )


def bow(t: float, body: Body) -> Pose:
    """Bow from the hips, hands on the thighs."""
    level = _keyed(t, 4.5, (0.5, 0.0), (1.6, 1.0), (2.4, 1.0), (3.6, 0.0))
    trunk = 58.0 * level
    arm = Arm(flexion=trunk * 0.72, abduction=6.0, rotation=16.0, elbow=10.0 + 8.0 * level)
    return _standing(
        body,
        shift=(-0.12 * level, 0.0, -0.012 * level),
        pelvis_tilt=(0.0, 0.62 * trunk, 0.0),
        trunk_tilt=(0.0, trunk, 0.0),
        head_tilt=(0.0, 12.0 * level, 0.0),
        left_arm=arm,
        right_arm=arm,
    )


def squat(t: float, body: Body) -> Pose:
    """Squat down and stand up with the arms stretched ahead."""
    level = _keyed(t, 3.4, (0.3, 0.0), (1.4, 1.0), (1.7, 1.0), (2.8, 0.0))
    arm = Arm(flexion=78.0 * level, abduction=8.0, rotation=12.0 - 10.0 * level, elbow=14.0 - 6.0 * level)
    return _standing(
        body,
        stance=0.08,
        toes_out=14.0,
        shift=(-0.17 * level, 0.0, -0.47 * body.leg * level),
        pelvis_tilt=(0.0, 26.0 * level, 0.0),
        trunk_tilt=(0.0, 36.0 * level, 0.0),
        head_tilt=(0.0, -24.0 * level, 0.0),
        left_arm=arm,
        right_arm=arm,
    )


SEAT_HEIGHT = 0.46
"""Metres; an ordinary chair."""


def sit(t: float, body: Body) -> Pose:
    """Sit down on the stool behind, rest with the hands on the thighs, and stand up."""
    level = _keyed(t, 7.0, (0.8, 0.0), (2.2, 1.0), (4.4, 1.0), (5.8, 0.0))
    going = 4.0 * level * (1.0 - level)  # The trunk leans forward on the way down and on the way up.
    trunk = 3.0 * level + 34.0 * going
    arm = Arm(
        flexion=22.0 * level + 26.0 * going, abduction=9.0, rotation=12.0 + 8.0 * level, elbow=14.0 + 48.0 * level
    )
    drop = 0.985 * body.leg + body.ankle - (SEAT_HEIGHT + 0.095)
    return _standing(
        body,
        shift=(-0.40 * level - 0.05 * going, 0.0, -drop * level),
        pelvis_tilt=(0.0, 0.5 * trunk, 0.0),
        trunk_tilt=(0.0, trunk, 0.0),
        head_tilt=(0.0, -0.5 * trunk + 2.0, 8.0 * level * math.sin(1.1 * t)),
        left_arm=arm,
        right_arm=arm,
    )


MOTION_TABLE: Mapping[str, Motion] = {
    "walk": Motion(walk, upright=True, extent=(1.8, 0.9)),
    "run": Motion(run, upright=True, extent=(2.0, 1.0)),
    "wave": Motion(wave, upright=True),
    "squat": Motion(squat, upright=False),
    "sit": Motion(sit, upright=False, seat=SEAT_HEIGHT),
    "reach": Motion(reach, upright=True),
    "turn": Motion(turn, upright=True),
    "bow": Motion(bow, upright=False),
    "idle": Motion(idle, upright=True),
}
MOTIONS = tuple(MOTION_TABLE)
"""Names of all motions."""

UPRIGHT_MOTIONS = tuple(name for name, motion in MOTION_TABLE.items() if motion.upright)
"""Those with a person on their feet and a vertical trunk, which every pose detector is made for."""


def _travel(
    gait: _Gait,
    track: Track,
    time: float,
    step: float,
    body: Body,
    *,
    height: float,
    sway: float,
    lean: float,
    pitch: float,
    twist: float,
    left_arm: Arm,
    right_arm: Arm,
    head_yaw: float = 0.0,
) -> Pose:
    """A body that moves along ``track``: pelvis over it, feet on their prints, trunk twisted against the pelvis."""
    x, y, heading = track(time * step)
    side = math.radians(heading + 90.0)
    left, right = (gait.foot(time, side, body, track, step) for side in (0, 1))
    across = np.array([math.cos(side), math.sin(side)])
    middle = np.array([x, y]) + sway * across
    # Nobody's legs are longer than they are: when a foot is far away, the pelvis sinks.
    for foot, hip in ((left, middle + body.hip * across), (right, middle - body.hip * across)):
        away = float(np.linalg.norm(foot.ankle[:2] - hip))
        height = min(height, foot.ankle[2] + math.sqrt((0.985 * body.leg) ** 2 - away**2))
    pelvis = np.array([*middle, height])
    return Pose(
        pelvis=pelvis,
        heading=heading,
        left_foot=left,
        right_foot=right,
        left_arm=left_arm,
        right_arm=right_arm,
        pelvis_tilt=(0.5 * lean, 0.3 * pitch, -twist),
        trunk_tilt=(lean, pitch, 1.2 * twist),
        head_tilt=(-0.7 * lean, -0.6 * pitch, head_yaw - twist),
    )


def _standing(
    body: Body,
    *,
    shift: tuple[float, float, float],
    stance: float = 0.015,
    toes_out: float = 7.0,
    **posture: tuple[float, float, float] | Arm,
) -> Pose:
    """A pose with both feet flat, ``stance`` metres outside the hips, and the pelvis moved by ``shift`` metres."""
    feet = {
        f"{side}_foot": Foot(np.array([0.0, y * (body.hip + stance), body.ankle]), heading=y * toes_out)
        for side, y in SIDES.items()
    }
    pelvis = np.array([0.0, 0.0, 0.985 * body.leg + body.ankle]) + shift
    return Pose(pelvis=pelvis, heading=0.0, **feet, **posture)  # type: ignore[arg-type]


def _lean(track: Track, distance: float, speed: float, most: float) -> float:
    """Roll into a bend, degrees, as gravity asks for; averaged over a metre, as nobody leans in an instant."""
    bend = math.radians((track(distance + 0.5)[2] - track(distance - 0.5)[2] + 180.0) % 360.0 - 180.0)
    return -min(most, math.degrees(math.atan(speed**2 * bend / 9.81)))


def _smooth(x: float) -> float:
    """0 below 0, 1 above 1, between them a curve without corners (3x^2 - 2x^3)."""
    x = min(1.0, max(0.0, x))
    return x * x * (3.0 - 2.0 * x)


def _keyed(t: float, period: float, *keys: tuple[float, float]) -> float:
    """Periodic curve through (seconds, value) keys, at rest at each of them."""
    t %= period
    wrapped = ((keys[-1][0] - period, keys[-1][1]), *keys, (keys[0][0] + period, keys[0][1]))
    for (t0, v0), (t1, v1) in itertools.pairwise(wrapped):
        if t <= t1:
            return v0 + (v1 - v0) * _smooth((t - t0) / (t1 - t0))
    raise AssertionError("the wrapped keys cover the whole period")
