"""The people of a scene: who they are, what they do, and where on the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mambapose_ros.synthetic.appearance import Appearance
from mambapose_ros.synthetic.body import Body, Placement, place, rotation
from mambapose_ros.synthetic.motions import MOTION_TABLE, Motion

NEAREST = 2.9
"""Metres from the camera where people may be, for a lens of ``zoom`` 1."""


@dataclass(frozen=True)
class Person:
    """Somebody who does one motion at one place.

    Attributes:
        phase: seconds that they are ahead of the scene's clock.
        yaw, spot: how their floor lies in the world: degrees, and (3,) metres.
    """

    body: Body
    appearance: Appearance
    motion: Motion
    phase: float
    yaw: float
    spot: np.ndarray

    def floor(self) -> np.ndarray:
        """(1, 4, 4) from their floor to the world."""
        result = np.eye(4)
        result[:3, :3], result[:3, 3] = rotation(yaw=self.yaw), self.spot
        return result[None]

    def placement(self, t: float) -> Placement:
        """Their segments in the world at ``t`` seconds."""
        pose = self.motion.pose(t + self.phase, self.body)
        return place(self.body, pose).moved(rotation(yaw=self.yaw), self.spot)


def random_people(
    motions: Sequence[str], zoom: float, looks: np.random.Generator, places: np.random.Generator
) -> list[Person]:
    """Give everybody a body, looks, and a lane of the floor of their own, one behind the other.

    Args:
        motions: keys of ``MOTION_TABLE``, one for each person.
        zoom: how far away people stand, relative to a lens of 60 degrees.
        looks, places: where bodies and appearances, and where places, are drawn from.
    """
    people: list[Person] = []
    near = NEAREST * zoom
    aside = places.permutation(np.arange(len(motions)) - 0.5 * (len(motions) - 1))
    for name, side in zip(motions, aside, strict=True):
        motion = MOTION_TABLE[name]
        along, across = motion.extent
        if motion.travels and len(motions) == 1:
            yaw = places.choice([90.0, 270.0]) + places.uniform(-50.0, 50.0)
        elif motion.travels:
            yaw = places.choice([90.0, 270.0])  # Across the view, so that the lanes stay clear of each other.
        else:
            yaw = 180.0 + places.uniform(-50.0, 50.0)
        depth = max(across, along * abs(math.cos(math.radians(yaw)))) if motion.travels else along
        lateral = 0.0 if motion.travels else float(side) * 0.85 * zoom
        body = Body.random(looks)
        people.append(
            Person(
                body=body,
                appearance=Appearance.random(body, looks),
                motion=motion,
                phase=float(places.uniform(0.0, 20.0)),
                yaw=float(yaw),
                spot=np.array([near + depth, lateral, 0.0]),
            )
        )
        near += 2.0 * depth + 0.3
    return people
