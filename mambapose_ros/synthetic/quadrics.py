"""Shapes made of quadrics: limbs (two spheres and the cone around them) and ellipsoids, fixed to moving segments.

A shape has a local frame: z runs along the shape, from its upper end down; x points forward. A sphere or cone in that
frame, seen through the frame's affine map, is an ellipsoid or elliptic cone, so cross-sections need not be round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Shape:
    """The hull of two spheres on the local z axis.

    Attributes:
        segment: index of the segment that carries it.
        frame: (4, 4) from the local frame to the segment's.
        length: of the axis; spheres lie at its ends; 0 = one sphere.
        radii: of the spheres at z = 0 and z = length, in local units.
        texture: index of its texture, which is wrapped round the axis and spans the shape from end to end.
        caps: whether the spheres at the start and at the end are part of it; without, the cone is open there.
    """

    segment: int
    frame: np.ndarray
    length: float
    radii: tuple[float, float]
    texture: int
    caps: tuple[bool, bool] = (True, True)


def limb(
    segment: int,
    start: ArrayLike,
    end: ArrayLike,
    radii: tuple[float, float],
    texture: int,
    *,
    stretch: tuple[float, float] = (1.0, 1.0),
    caps: tuple[bool, bool] = (True, True),
) -> Shape:
    """Rounded cone from ``start`` to ``end``, metres in the segment's frame; ``stretch`` widens it along x and y."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    z = (b - a) / length
    ahead = np.array([1.0, 0.0, 0.0]) if abs(z[0]) < 0.9 else np.array([0.0, 0.0, 1.0])
    x = ahead - (ahead @ z) * z
    x /= np.linalg.norm(x)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([stretch[0] * x, stretch[1] * np.cross(z, x), z], axis=1)
    frame[:3, 3] = a
    return Shape(segment, frame, length, radii, texture, caps)


def ellipsoid(segment: int, centre: ArrayLike, semi_axes: ArrayLike, texture: int) -> Shape:
    """Ellipsoid with its axes along the segment's, metres."""
    frame = np.eye(4)
    frame[:3, :3] = np.diag([1.0, -1.0, -1.0]) * np.asarray(semi_axes, float)
    frame[:3, 3] = centre
    return Shape(segment, frame, 0.0, (1.0, 1.0), texture, caps=(True, False))


@dataclass(frozen=True)
class Quadrics:
    """n surfaces [p 1] form [p 1]^T = 0, as arrays for the renderer; p in local frames.

    Attributes:
        segment: (n,) index of the carrying segment.
        frame: (n, 4, 4) from local frames to segments.
        form: (n, 4, 4) symmetric, positive outside.
        cut: (n, 2) the surface exists between these local z.
        spheres: (n, 2, 2) z and radius of two spheres whose hull holds the surface.
        span: (n, 2) local z where the texture starts and ends.
        texture: (n,) index.
    """

    segment: np.ndarray
    frame: np.ndarray
    form: np.ndarray
    cut: np.ndarray
    spheres: np.ndarray
    span: np.ndarray
    texture: np.ndarray

    @classmethod
    def of(cls, shapes: Iterable[Shape]) -> Quadrics:
        """The surfaces that ``shapes`` are made of."""
        rows = []
        for shape in shapes:
            ra, rb = shape.radii
            ends = [(0.0, ra), (shape.length, rb)]
            common = (shape.segment, shape.frame)
            span = (-ra, shape.length + rb)
            if shape.length > 0.0:
                rows.append((*common, *_cone(shape.length, ra, rb), ends, span, shape.texture))
            for (z, r), there in zip(ends, shape.caps, strict=True):
                if there:
                    rows.append((*common, _sphere(z, r), (-np.inf, np.inf), [(z, r), (z, r)], span, shape.texture))
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))

    def placed(self, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The surfaces where ``matrices`` (S, 4, 4) put their segments.

        Returns:
            (n, 4, 4) from there to the local frames, and (n, 4, 4) the forms there.
        """
        to_local = np.linalg.inv(matrices[self.segment] @ self.frame)
        return to_local, to_local.transpose(0, 2, 1) @ self.form @ to_local

    @classmethod
    def join(cls, groups: Sequence[Quadrics], segments: Sequence[int], textures: Sequence[int]) -> Quadrics:
        """All groups in one; each group has so many segments and textures, numbered on from the group before."""
        joined = {field.name: np.concatenate([getattr(g, field.name) for g in groups]) for field in fields(cls)}
        sizes = [len(group.segment) for group in groups]
        for name, counts in (("segment", segments), ("texture", textures)):
            joined[name] = joined[name] + np.repeat(np.cumsum([0, *counts[:-1]]), sizes)
        return cls(**joined)


def _sphere(z: float, radius: float) -> np.ndarray:
    form = np.eye(4)
    form[2, 3] = form[3, 2] = -z
    form[3, 3] = z * z - radius * radius
    return form


def _cone(length: float, ra: float, rb: float) -> tuple[np.ndarray, tuple[float, float]]:
    """Cone that touches both spheres, and the z of the circles where it does.

    A point at height z and distance d from the axis is ``c d - k z - ra`` outside the cone, with slope k = sin and
    c = cos of the angle between axis and cone.
    """
    k = (rb - ra) / length
    form = np.diag([1.0 - k * k, 1.0 - k * k, -k * k, -ra * ra])
    form[2, 3] = form[3, 2] = -k * ra
    return form, (-k * ra, length - k * rb)
