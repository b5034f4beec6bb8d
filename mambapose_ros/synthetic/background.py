"""The room that the people are in: textured planes, with exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mambapose_ros.geometry import Camera

TEXELS_PER_METRE = 80

_CORNER_LOSS = 0.30
"""Share of the light that does not get into the corners of the room."""


@dataclass(frozen=True)
class Plane:
    """A textured rectangle.

    Attributes:
        origin: (3,) its corner, where the texture's first pixel is, metres.
        right, down: (3,) unit vectors along the texture's rows and columns; their cross product points out of the room.
        texture: (rows, columns, 3) uint8 RGB, ``TEXELS_PER_METRE``.
    """

    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    texture: np.ndarray

    def inverse_depth(self, to_ray: np.ndarray, position: np.ndarray) -> np.ndarray:
        """(3,) coefficients of the inverse depth in homogeneous pixels, seen from ``position``."""
        out = np.cross(self.right, self.down)
        return (out @ to_ray) / (out @ (self.origin - position))


@dataclass(frozen=True)
class View:
    """The room in one image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres.
        floor: (H, W) uint8, 1 where the floor is seen.
    """

    image: np.ndarray
    depth: np.ndarray
    floor: np.ndarray


@dataclass(frozen=True)
class Room:
    """A box of six planes seen from inside; the floor is the first."""

    planes: tuple[Plane, ...]

    @classmethod
    def random(cls, low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> Room:
        """Room between the corners ``low`` and ``high`` (3,), metres, floor at z = 0, decorated from ``rng``."""
        size = high - low
        wall = rng.uniform(0.72, 0.92) * np.array([255, 250, 242]) * rng.uniform(0.88, 1.0, 3)
        skirting = wall * rng.choice([0.45, 1.2])
        floor = _planks if rng.uniform() < 0.65 else _tiles
        x, y, z = np.eye(3)
        x0, y0, _ = low
        x1, y1, top = high
        planes = [
            Plane(np.array([x1, y1, 0.0]), -y, -x, floor(size[1], size[0], rng)),
            Plane(np.array([x0, y1, top]), -y, x, _ceiling(size[1], size[0])),
        ]
        for origin, right, width in (
            ((x1, y1, top), -y, size[1]),
            ((x0, y0, top), y, size[1]),
            ((x0, y1, top), x, size[0]),
            ((x1, y0, top), -x, size[0]),
        ):
            planes.append(Plane(np.array(origin), right, -z, _wall(width, top, wall, skirting, rng)))
        return cls(tuple(planes))

    def render(self, camera: Camera, to_camera: np.ndarray) -> View:
        """See the room through ``camera`` at ``to_camera`` (4, 4), from the world to the optical frame."""
        size = (camera.width, camera.height)
        rotation, position = to_camera[:3, :3], -to_camera[:3, :3].T @ to_camera[:3, 3]
        to_ray = rotation.T @ np.linalg.inv(camera.K)  # Pixels to directions in the world with depth 1.
        u, v = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
        corners = np.array([[0, size[0], 0, size[0]], [0, 0, size[1], size[1]], [1, 1, 1, 1]])
        # From inside a convex room, the plane seen at a pixel is the one with the largest inverse depth.
        nearness = np.zeros(size[::-1], np.float32)
        seen = np.zeros(size[::-1], np.uint8)
        for n, plane in enumerate(self.planes):
            a, b, c = row = plane.inverse_depth(to_ray, position)
            if (row @ corners).max() > 0:
                candidate = (a * u + c).astype(np.float32) + (b * v).astype(np.float32)[:, None]
                np.copyto(seen, n, where=candidate > nearness)
                np.maximum(nearness, candidate, out=nearness)
        image = np.empty((*size[::-1], 3), np.uint8)
        for n, plane in enumerate(self.planes):
            self._paint(image, seen == n, plane, to_ray, position)
        return View(image, 1.0 / nearness, (seen == 0).astype(np.uint8))

    def _paint(
        self, image: np.ndarray, mask: np.ndarray, plane: Plane, to_ray: np.ndarray, position: np.ndarray
    ) -> None:
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        if w == 0:
            return
        to_ray = to_ray @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
        inverse_depth = plane.inverse_depth(to_ray, position)
        offset = position - plane.origin
        axes = (plane.right, plane.down)
        to_texture = np.stack([*(axis @ to_ray + (axis @ offset) * inverse_depth for axis in axes), inverse_depth])
        to_texel = np.array([[TEXELS_PER_METRE, 0, -0.5], [0, TEXELS_PER_METRE, -0.5], [0, 0, 1]]) @ to_texture
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        part = cv2.warpPerspective(plane.texture, to_texel, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cv2.copyTo(part, mask[y : y + h, x : x + w].astype(np.uint8), image[y : y + h, x : x + w])


def _texels(metres: float) -> int:
    return round(metres * TEXELS_PER_METRE)


def _noise(rows: int, columns: int, grain: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) smooth noise of standard deviation about 1; ``grain`` is its feature size in texels."""
    coarse = rng.standard_normal((max(2, round(rows / grain)), max(2, round(columns / grain)))).astype(np.float32)
    return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)


def _finish(texture: np.ndarray) -> np.ndarray:
    """To uint8, darker towards the edges, where less light gets into the corners of the room."""
    rows, columns = texture.shape[:2]
    edge = [np.minimum(np.arange(n), np.arange(n)[::-1]) / TEXELS_PER_METRE for n in (rows, columns)]
    along, across = (1.0 - _CORNER_LOSS * np.exp(-e / 0.45) for e in edge)
    texture = texture * (along[:, None] * across[None, :])[..., None]
    return np.clip(cv2.GaussianBlur(texture, (0, 0), 0.8), 0, 255).astype(np.uint8)


def _planks(width: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Wooden floor whose planks run along the texture's rows axis."""
    rows, columns, plank, board = _texels(length), _texels(width), _texels(0.16), _texels(1.4)
    color = np.array([(176, 132, 92), (150, 108, 74), (196, 164, 126), (120, 96, 78)][rng.integers(4)])
    texture = np.empty((rows, columns, 3), np.float32)
    for left in range(0, columns, plank):
        boards = (np.arange(rows) + rng.integers(rows)) // board
        shade = rng.normal(1.0, 0.09, boards.max() + 1)[boards]
        joint = np.diff(boards, prepend=boards[0]) > 0
        texture[:, left : left + plank] = (shade * np.where(joint, 0.6, 1.0))[:, None, None] * color
        texture[:, left] *= 0.62
    grain = cv2.resize(_noise(rows // 8, columns, 2.0, rng), (columns, rows), interpolation=cv2.INTER_LINEAR)
    texture *= (1.0 + 0.06 * grain + 0.05 * _noise(rows, columns, 40.0, rng))[..., None]
    return _finish(texture)


def _tiles(width: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Stone tiles."""
    rows, columns, tile = _texels(length), _texels(width), _texels(0.4)
    color = rng.uniform(135, 200) * (1.0 + rng.uniform(-0.3, 1.0) * np.array([0.05, 0.01, -0.06]))  # Grey to sand.
    shades = rng.normal(1.0, 0.07, (rows // tile + 1, columns // tile + 1)).astype(np.float32)
    texture = shades.repeat(tile, 0).repeat(tile, 1)[:rows, :columns]
    texture *= 1.0 + 0.03 * _noise(rows, columns, 4.0, rng) + 0.035 * _noise(rows, columns, 25.0, rng)
    for start in (0, 1):
        texture[start::tile] *= 0.75
        texture[:, start::tile] *= 0.75
    return _finish(texture[..., None] * color)


def _ceiling(width: float, length: float) -> np.ndarray:
    texture = np.full((_texels(length), _texels(width), 3), 226.0, np.float32)
    texture[:: _texels(0.6)] *= 0.9
    texture[:, :: _texels(0.6)] *= 0.9
    return _finish(texture)


def _wall(width: float, height: float, color: np.ndarray, skirting: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Painted plaster with pictures and a skirting board."""
    rows, columns = _texels(height), _texels(width)
    brightness = 1.0 + 0.02 * _noise(rows, columns, 3.0, rng) + 0.025 * _noise(rows, columns, 50.0, rng)
    texture = brightness[..., None] * color.astype(np.float32)
    left = rng.uniform(0.3, 0.9)
    while left < width - 1.2:
        wide, tall = rng.uniform(0.5, 1.1), rng.uniform(0.5, 0.9)
        _picture(texture, left, rng.uniform(0.75, 1.0), wide, tall, rng)
        left += wide + rng.uniform(0.5, 1.4)
    texture[-_texels(0.10) :] = skirting
    texture[-_texels(0.11)] *= 0.6
    return _finish(texture)


def _picture(
    texture: np.ndarray, left: float, top: float, width: float, height: float, rng: np.random.Generator
) -> None:
    """A framed abstract painting, placed in metres."""
    x0, y0, x1, y1 = (_texels(v) for v in (left, top, left + width, top + height))
    texture[y0 + 3 : y1 + 5, x0 + 3 : x1 + 5] *= 0.75  # Its shadow.
    texture[y0:y1, x0:x1] = rng.uniform(30, 120)
    texture[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3] = rng.uniform(215, 245)
    rows, columns = y1 - y0 - 18, x1 - x0 - 18
    canvas = np.full((rows, columns, 3), rng.uniform(70, 210, 3), np.float32)
    for _ in range(rng.integers(3, 6)):
        centre = (int(rng.integers(columns)), int(rng.integers(rows)))
        radius = int(rng.integers(6, rows // 2))
        cv2.circle(canvas, centre, radius, rng.uniform(40, 235, 3).tolist(), -1, cv2.LINE_AA)
    texture[y0 + 9 : y1 - 9, x0 + 9 : x1 - 9] = canvas
