"""Ray casting of quadrics with a depth buffer, and shading of what the rays hit.

A viewing ray p = K^-1 (u, v, 1) meets a quadric where its depth z solves A z^2 + 2 B z + C = 0. B is linear in the
pixel and the discriminant D = B^2 - A C quadratic, so that inside a surface's box both are small matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.synthetic.quadrics import Quadrics
from mambapose_ros.synthetic.textures import TILE_HEIGHT, TILE_WIDTH

SMOOTHING = 0.022
"""Metres over which the shading is smoothed."""

_OCCLUSION_LOSS = 0.45
"""Share of the light that surfaces before another take from it at most."""

_OCCLUSION_REACH = 0.35
"""Metres; surfaces that are farther apart do not darken each other."""


@dataclass(frozen=True)
class Hits:
    """What each pixel's ray meets first.

    Attributes:
        depth: (H, W) float32 metres along the optical axis.
        surface: (H, W) int16 index of the quadric; -1 = background.
    """

    depth: np.ndarray
    surface: np.ndarray


@dataclass(frozen=True)
class Light:
    """A distant lamp and the light from all around.

    Attributes:
        direction, up: (3,) unit vectors, towards the lamp and the ceiling.
        lamp: (3,) its RGB strength on a surface that faces it.
        above, below: (3,) RGB strength of what comes from the ceiling and from the floor.
    """

    direction: np.ndarray
    up: np.ndarray
    lamp: np.ndarray
    above: np.ndarray
    below: np.ndarray

    def turned(self, rotation: np.ndarray) -> Light:
        """The same light in another frame."""
        return replace(self, direction=rotation @ self.direction, up=rotation @ self.up)


def cast(quadrics: Quadrics, to_camera: np.ndarray, camera: Camera, background: np.ndarray) -> Hits:
    """Find the nearest surface at every pixel.

    Args:
        quadrics: the n surfaces.
        to_camera: (S, 4, 4) from segments to the optical frame.
        camera: without distortion.
        background: (H, W) float32 depth behind the surfaces, metres.
    """
    depth = background.copy()
    surface = np.full(depth.shape, -1, np.int16)
    to_local, form = quadrics.placed(to_camera)
    boxes = _boxes(quadrics, to_camera[quadrics.segment] @ quadrics.frame, camera)
    # The camera may lie inside the cone that a limb is cut out of, but not inside a sphere.
    outside = (form[:, 3, 3] > 0.0) | np.isfinite(quadrics.cut[:, 0])
    visible = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]) & outside

    # Polynomials in pixels counted from the middle of the box, where float32 is exact enough.
    middle = (boxes[:, :2] + boxes[:, 2:]) // 2
    to_ray = np.tile(np.linalg.inv(camera.K), (len(boxes), 1, 1))
    to_ray[:, :, 2] += np.einsum("ij,nj->ni", to_ray[0, :, :2], middle)
    discriminant, linear = _equations(form, to_ray)
    constant = form[:, 3, 3].astype(np.float32)
    along_axis = np.einsum("ni,nij->nj", to_local[:, 2, :3], to_ray).astype(np.float32)
    cuts = (quadrics.cut - to_local[:, 2, 3:]).tolist()

    reach = max(depth.shape)
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    columns = np.stack([steps * steps, steps, np.ones_like(steps)])
    rows = np.ascontiguousarray(columns.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        for n in np.flatnonzero(visible).tolist():
            x0, y0, x1, y1 = boxes[n].tolist()
            x, y = (reach - middle[n]).tolist()
            i, j = columns[:, x0 + x : x1 + x], rows[y0 + y : y1 + y]
            root = np.sqrt(j @ (discriminant[n] @ i))  # NaN where the ray misses; comparisons then fail.
            root -= _plane(linear[n], i, j)
            z = np.divide(constant[n], root, out=root)
            nearest = depth[y0:y1, x0:x1]
            hit = z < nearest
            low, high = cuts[n]
            if low > -np.inf:
                height = _plane(along_axis[n], i, j)
                height *= z
                hit &= (height > low) & (height < high)
            np.copyto(nearest, z, where=hit)
            np.copyto(surface[y0:y1, x0:x1], n, where=hit)
    return Hits(depth, surface)


def _equations(form: np.ndarray, to_ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Discriminant D = [j^2 j 1] d [i^2 i 1]^T and linear term B = b [i j 1]^T of rays from pixels (i, j).

    Args:
        form: (n, 4, 4) of the surfaces, in the optical frame.
        to_ray: (n, 3, 3) from homogeneous pixels to rays.

    Returns:
        d (n, 3, 3) and b (n, 3), float32.
    """
    b = np.einsum("ni,nij->nj", form[:, :3, 3], to_ray)
    square = to_ray.transpose(0, 2, 1) @ form[:, :3, :3] @ to_ray
    q = b[:, :, None] * b[:, None, :] - form[:, 3, 3, None, None] * square
    d = np.zeros_like(q)
    d[:, 0, 2], d[:, 1, 1], d[:, 2, 0] = q[:, 1, 1], 2.0 * q[:, 0, 1], q[:, 0, 0]
    d[:, 1, 2], d[:, 2, 1], d[:, 2, 2] = 2.0 * q[:, 1, 2], 2.0 * q[:, 0, 2], q[:, 2, 2]
    return d.astype(np.float32), b.astype(np.float32)


def _plane(coefficients: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """a i + b j + c over a box, from the powers of its columns i and rows j."""
    a, b, c = coefficients
    return (a * i[1] + c) + b * j[:, 1:2]


def _boxes(quadrics: Quadrics, frame: np.ndarray, camera: Camera) -> np.ndarray:
    """(n, 4) x0, y0, x1, y1 of the pixels that may see each surface; empty when it is not in front of the camera.

    The image of an ellipsoid with centre c and semi-axes M r has the dual conic K (r^2 M M^T - c c^T) K^T, whose
    entries give its extent (Hartley and Zisserman, Multiple View Geometry, 8.3).
    """
    centre = frame[:, None, :3, 3] + frame[:, None, :3, 2] * quadrics.spheres[:, :, :1]
    M = camera.K @ frame[:, None, :3, :3]
    c = centre @ camera.K.T
    r2 = quadrics.spheres[:, :, 1, None, None] ** 2
    conic = c[..., :, None] * c[..., None, :] - r2 * (M @ M.swapaxes(-1, -2))
    ahead = (conic[..., 2, 2] > 1e-4) & (c[..., 2] > 0.0)
    scale = np.where(ahead, conic[..., 2, 2], 1.0)
    boxes = np.empty((len(frame), 4), int)
    for axis, size in ((0, camera.width), (1, camera.height)):
        mid = conic[..., axis, 2] / scale
        half = np.sqrt(np.maximum(0.0, mid**2 - conic[..., axis, axis] / scale))
        boxes[:, axis] = np.clip(np.ceil((mid - half).min(axis=1)), 0, size)
        boxes[:, axis + 2] = np.clip(np.floor((mid + half).max(axis=1)) + 1, 0, size)
    boxes[~ahead.all(axis=1), 2:] = 0
    return boxes


@dataclass(frozen=True)
class Fragments:
    """The m pixels that see a surface, grouped by surface.

    Attributes:
        pixel: (m,) index into the flattened image.
        point: (4, m) float32 homogeneous points in the optical frame.
        surfaces: the surfaces that are seen, and where each one's pixels start and stop.
    """

    pixel: np.ndarray
    point: np.ndarray
    surfaces: list[tuple[int, int, int]]

    @classmethod
    def of(cls, hits: Hits, camera: Camera) -> Fragments:
        flat = hits.surface.reshape(-1)
        seen = np.flatnonzero(flat >= 0)
        surface = flat[seen]
        order = np.argsort(surface, kind="stable")
        pixel, surface = seen[order], surface[order]
        starts = np.flatnonzero(np.diff(surface, prepend=-1))
        stops = np.append(starts, len(surface))[1:]
        groups = list(zip(surface[starts].tolist(), starts.tolist(), stops.tolist(), strict=True))
        v, u = np.divmod(pixel.astype(np.int32), np.int32(camera.width))
        z = hits.depth.reshape(-1)[pixel]
        inverse = np.linalg.inv(camera.K).astype(np.float32)
        point = inverse @ np.stack([u, v, np.ones_like(u)]).astype(np.float32)
        return cls(pixel, np.concatenate([point * z, np.ones((1, len(z)), np.float32)]), groups)

    def map(self, matrices: np.ndarray) -> np.ndarray:
        """(k, m) float32: each point times its surface's matrix of ``matrices`` (n, k, 4)."""
        result = np.empty((matrices.shape[1], len(self.pixel)), np.float32)
        matrices = matrices.astype(np.float32)
        for surface, start, stop in self.surfaces:
            np.matmul(matrices[surface], self.point[:, start:stop], out=result[:, start:stop])
        return result


def shade(
    image: np.ndarray,
    fragments: Fragments,
    quadrics: Quadrics,
    to_camera: np.ndarray,
    camera: Camera,
    light: Light,
    atlas: np.ndarray,
) -> None:
    """Paint the surfaces into ``image`` (H, W, 3) uint8 RGB.

    Args:
        to_camera: (S, 4, 4) from segments to the optical frame.
        light: in the optical frame.
        atlas: from ``textures.atlas``, of all textures.
    """
    if not len(fragments.pixel):
        return
    to_local, form = quadrics.placed(to_camera)
    values = fragments.map(np.concatenate([to_local[:, :3], form[:, :3]], axis=1))
    albedo = _sample(atlas, quadrics, fragments, values[:3])
    normal = _smoothed(_unit(values[3:]), fragments, camera)
    facing = light.direction.astype(np.float32) @ normal
    up = 0.5 + 0.5 * (light.up.astype(np.float32) @ normal)
    # Wrapped Lambert: cloth and skin scatter some light past the edge of the shadow.
    lit = np.maximum(0.0, (facing + 0.25) / 1.25)
    below, above, lamp = (v.astype(np.float32)[:, None] for v in (light.below, light.above, light.lamp))
    irradiance = (below + (above - below) * up + lamp * lit).T
    image.reshape(-1, 3)[fragments.pixel] = np.minimum(albedo * irradiance, 255.0).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Columns (3, m) at length 1, in place."""
    vectors /= np.sqrt(np.einsum("im,im->m", vectors, vectors)) + np.float32(1e-12)
    return vectors


def _smoothed(normal: np.ndarray, fragments: Fragments, camera: Camera) -> np.ndarray:
    """Mean of the unit normals (3, m) over a few centimetres, so that light does not show where shapes meet."""
    v, u = np.divmod(fragments.pixel, camera.width)
    x0, y0, x1, y1 = u.min(), v.min(), u.max() + 1, v.max() + 1
    field: np.ndarray = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
    inside = (v - y0) * (x1 - x0) + (u - x0)
    field.reshape(-1, 3)[inside] = normal.T
    width = round(SMOOTHING * camera.K[0, 0] / float(np.median(fragments.point[2]))) | 1
    field = cv2.blur(cv2.blur(field, (width, width)), (width, width))
    return _unit(np.ascontiguousarray(field.reshape(-1, 3)[inside].T))


def _sample(atlas: np.ndarray, quadrics: Quadrics, fragments: Fragments, local: np.ndarray) -> np.ndarray:
    """(m, 3) float32 colours at the points ``local`` (3, m) of the surfaces' own frames."""
    start, stop = quadrics.span.T
    scale = (TILE_HEIGHT - 1) / (stop - start)
    offset = quadrics.texture * TILE_HEIGHT - start * scale
    counts = [last - first for _, first, last in fragments.surfaces]
    seen = [surface for surface, _, _ in fragments.surfaces]
    v = local[2] * np.repeat(scale[seen].astype(np.float32), counts)
    v += np.repeat(offset[seen].astype(np.float32), counts)
    u = np.arctan2(local[1], local[0]) * np.float32(-TILE_WIDTH / (2 * np.pi)) + np.float32(0.5 * TILE_WIDTH + 0.5)
    # OpenCV limits the sides of an image, so the list of samples is folded into a rectangle.
    width = 1024
    folded = np.zeros((2, -(-len(u) // width) * width), np.float32)
    folded[0, : len(u)], folded[1, : len(u)] = u, v
    u, v = folded.reshape(2, -1, width)
    return cv2.remap(atlas, u, v, cv2.INTER_LINEAR).reshape(-1, 3)[: len(fragments.pixel)].astype(np.float32)


def soften(image: np.ndarray, hits: Hits, quadrics: Quadrics) -> None:
    """Darken what lies behind its surroundings, and smooth the outlines, in place.

    The first is a cheap ambient occlusion: T. Luft et al., Image Enhancement by Unsharp Masking the Depth Buffer, 2006.
    """
    x, y, w, h = cv2.boundingRect((hits.surface >= 0).astype(np.uint8))
    if w == 0:
        return
    margin = 12
    box = np.s_[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
    view, depth = image[box], hits.depth[box]
    things = np.append(quadrics.segment * 256 + quadrics.texture + 1, 0).astype(np.uint16)[hits.surface[box]]
    size = max(5, round(0.06 * h)) | 1
    behind = depth - cv2.blur(depth, (size, size))
    shadow = np.clip(behind * (2.0 * _OCCLUSION_LOSS / _OCCLUSION_REACH), 0.0, _OCCLUSION_LOSS)
    shadow[(behind > _OCCLUSION_REACH) | (things == 0)] = 0.0
    factor = cv2.merge([1.0 - shadow] * 3)
    np.copyto(view, cv2.multiply(view, factor, dtype=cv2.CV_8U))
    edges = cv2.morphologyEx(things, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    smooth = cv2.GaussianBlur(view, (3, 3), 0.85)
    np.copyto(view, smooth, where=(edges > 0)[..., None])
