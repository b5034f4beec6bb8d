"""How a person moves in the image: a Kalman filter for place and size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mambapose_ros.perception.association import Expectation, relative_size
from mambapose_ros.types import PersonKeypoints

# For x, y and size: of the place in person sizes, and of the logarithm of the size. Standard deviations.
_SIGHTING = np.array([0.006, 0.02, 0.03])  # of one; bodies bob up and down, and legs that part change the size
_FIRST_VELOCITY = np.array([0.8, 0.3, 0.2])  # per second
_ACCELERATION = np.array([0.4, 0.07, 0.07])  # per second^2
_ACCELERATION_TIME_S = 2.0
_ERROR_TIME_S = 0.15  # sightings within this time err alike, so many of them tell no more than few
_FLOW_ERROR = 0.02  # of where flow leads to
_SMALLEST = 1.0  # pixels; nobody has no size


@dataclass(frozen=True, eq=False)
class ImageMotion:
    """Where a person was last seen in the image, and how they move there.

    Place and size have a velocity, and an acceleration that fades (R. A. Singer, Estimating optimal tracking filter
    performance for manned maneuvering targets, IEEE Transactions on Aerospace and Electronic Systems 1970): who walks
    goes on, who turns goes on turning for a while.

    Attributes:
        person: as last seen.
        state: (3, 3) of x and y, in pixels, and of the logarithm of the size: from where the person was seen to where
            the filter takes them to have been; velocity, per second; acceleration, per second^2.
        covariance: (3, 3, 3) of these; those of the place over the square of the person's size.
    """

    person: PersonKeypoints
    state: np.ndarray
    covariance: np.ndarray

    @classmethod
    def start(cls, person: PersonKeypoints) -> ImageMotion:
        """Of somebody seen for the first time."""
        spread = np.stack([_SIGHTING, _FIRST_VELOCITY, _ACCELERATION], axis=1)
        return cls(person, np.zeros((3, 3)), spread[:, :, None] ** 2 * np.eye(3))

    def expect(self, seconds: float) -> Expectation:
        """The person some time after they were last seen: moved, and grown about their middle."""
        state, covariance = self._after(seconds)
        moved = state[:, 0] - self.state[:, 0]
        middle = np.nanmean(self.person.xy, axis=0)
        xy = middle + moved[:2] + np.exp(moved[2]) * (self.person.xy - middle)
        variance = covariance[:, 0, 0]
        return Expectation(replace(self.person, xy=xy), variance[:2] * _size(self.person) ** 2, float(variance[2]))

    def expect_flow(self) -> Expectation:
        """The person as last seen, to be compared with where flow says that joints were then."""
        return Expectation(self.person, np.full(2, (_FLOW_ERROR * _size(self.person)) ** 2), 0.0)

    def seen(self, person: PersonKeypoints, seconds: float) -> ImageMotion:
        """After another sighting, some time after the last one."""
        state, covariance = self._after(seconds)
        moved = state[:, 0] - self.state[:, 0] + _change(self.expect(seconds).person, person)
        noise = _SIGHTING**2 * max(1.0, _ERROR_TIME_S / max(seconds, 1e-3))
        gain = covariance[:, 0] / (covariance[:, 0, 0] + noise)[:, None]
        state = state + gain * (moved - state[:, 0])[:, None]
        state[:, 0] -= moved
        return ImageMotion(person, state, covariance - gain[:, :, None] * covariance[:, None, 0])

    def _after(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """State and covariance, the former still from where the person was last seen."""
        rate = 1.0 / _ACCELERATION_TIME_S
        fading = np.exp(-rate * seconds)
        step = np.array(
            [
                [1.0, seconds, (rate * seconds - 1.0 + fading) / rate**2],
                [0.0, 1.0, (1.0 - fading) / rate],
                [0.0, 0.0, fading],
            ]
        )
        t, t2, t3 = seconds, seconds**2 / 2.0, seconds**3 / 6.0
        drift = np.array(  # of white jerk, which is what it is while little fades
            [[seconds**5 / 20.0, seconds**4 / 8.0, t3], [seconds**4 / 8.0, seconds**3 / 3.0, t2], [t3, t2, t]]
        )
        jerk = 2.0 * rate * _ACCELERATION**2
        return self.state @ step.T, step @ self.covariance @ step.T + jerk[:, None, None] * drift


def _size(person: PersonKeypoints) -> float:
    x0, y0, x1, y1 = person.box
    return max(x1 - x0, y1 - y0, _SMALLEST)


def _change(a: PersonKeypoints, b: PersonKeypoints) -> np.ndarray:
    """(3,) from a to b: the median way of the joints that both have, in pixels, and the logarithm of the relative size;
    0 where there are none."""
    way = b.xy - a.xy
    way = way[np.isfinite(way).all(axis=1)]
    if not len(way):
        return np.zeros(3)
    return np.array([*np.median(way, axis=0), np.log(relative_size(b.xy, a.xy))])
