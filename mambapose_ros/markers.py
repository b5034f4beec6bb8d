"""Skeletons as RViz markers (visualization_msgs), made of whatever library's message classes."""

from __future__ import annotations

import colorsys
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

JOINT_DIAMETER_M = 0.06
BONE_WIDTH_M = 0.03
NAME_HEIGHT_M = 0.15
NAME_GAP_M = 0.25
"""From the head joint to the name, away from the root."""

MIN_OPACITY = 0.15
"""Of joints with no confidence at all: they are guesses, and still to be seen."""

DEFAULT_LIFETIME_S = 1.0

Color = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""

WHITE = (1.0, 1.0, 1.0)

_GOLDEN_RATIO = (math.sqrt(5.0) - 1.0) / 2.0


class SkeletonMarkers:
    """Turns each SkeletonArray into a MarkerArray, and takes away those of people who left.

    A person has the namespaces ``<id>/joints`` (SPHERE_LIST), ``<id>/bones`` (LINE_LIST) and ``<id>/name``
    (TEXT_VIEW_FACING above the head), with marker id 0 in each. The colour is the id's, everywhere and always the same;
    the opacity of a joint, and of the bone's end at it, is its confidence. Joints without a position are left out.

    Args:
        types: has the classes of messages as attributes (``types.Marker``), those that ``skeletons`` are made of.
        lifetime_s: seconds after which RViz removes markers that are not renewed, so that nobody stays in view when the
            publisher ends.
    """

    def __init__(self, types: Any, lifetime_s: float = DEFAULT_LIFETIME_S) -> None:
        self._types = types
        self._shown: list[str] = []  # namespaces, in the order they were sent
        self.live(lifetime_s)

    def live(self, lifetime_s: float) -> None:
        """Have the next markers live that long."""
        nanoseconds = round(lifetime_s * 1e9)
        self._lifetime = self._types.Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def __call__(self, message: Any) -> Any:
        """Markers in the frame and with the stamp of the message; only deletions when nobody is there.

        Raises:
            ValueError: when the message contradicts itself; nothing is remembered of it.
        """
        _check(message)
        markers: list[Any] = []
        for skeleton in message.skeletons:
            if skeleton.tracking_state != self._types.Skeleton.TRACKING_LOST:
                markers.extend(self._person(message, skeleton))
        namespaces = [marker.ns for marker in markers]
        gone = [self._deletion(message, namespace) for namespace in self._shown if namespace not in namespaces]
        self._shown = namespaces
        return self._types.MarkerArray(markers=gone + markers)

    def _person(self, message: Any, skeleton: Any) -> Iterator[Any]:
        types, name = self._types, skeleton.id
        places = [joint.position for joint in skeleton.joints]
        present = [all(map(math.isfinite, (place.x, place.y, place.z))) for place in places]
        color = color_of(name)
        colors = [self._color(color, _opacity(joint.confidence)) for joint in skeleton.joints]
        joints = [i for i in range(len(places)) if present[i]]
        if not joints:
            return  # RViz calls a list without points an error
        marker = self._marker(message, f"{name}/joints", types.Marker.SPHERE_LIST, color)
        marker.scale.x = marker.scale.y = marker.scale.z = JOINT_DIAMETER_M
        marker.points, marker.colors = [places[i] for i in joints], [colors[i] for i in joints]
        yield marker
        ends = [
            end
            for joint, parent in enumerate(message.parents)
            if parent >= 0 and present[parent] and present[joint]
            for end in (parent, joint)
        ]
        if ends:
            marker = self._marker(message, f"{name}/bones", types.Marker.LINE_LIST, color)
            marker.scale.x = BONE_WIDTH_M
            marker.points, marker.colors = [places[i] for i in ends], [colors[i] for i in ends]
            yield marker
        marker = self._marker(message, f"{name}/name", types.Marker.TEXT_VIEW_FACING, WHITE)
        marker.scale.z = NAME_HEIGHT_M
        marker.text = name
        x, y, z = _above_head(message, places, present)
        marker.pose.position = types.Point(x=x, y=y, z=z)
        yield marker

    def _marker(self, message: Any, namespace: str, kind: int, color: Color) -> Any:
        marker = self._types.Marker(header=message.header, ns=namespace, type=kind, action=self._types.Marker.ADD)
        marker.pose.orientation.w = 1.0
        # RViz complains of a transparent marker even where every point has a colour of its own.
        marker.color = self._color(color, 1.0)
        marker.lifetime = self._lifetime
        return marker

    def _deletion(self, message: Any, namespace: str) -> Any:
        marker = self._types.Marker(header=message.header, ns=namespace, action=self._types.Marker.DELETE)
        marker.pose.orientation.w = 1.0  # as rclpy fills it in, and other libraries do not
        return marker

    def _color(self, color: Color, opacity: float) -> Any:
        red, green, blue = color
        return self._types.ColorRGBA(r=red, g=green, b=blue, a=opacity)


def color_of(name: str) -> Color:
    """The colour of an id; ids that count up (p1, p2, ...) get hues far from each other."""
    prefix = name.rstrip("0123456789")
    number = name[len(prefix) :]
    hue = zlib.crc32(prefix.encode()) / 2**32 + int(number[-9:] or 0) * _GOLDEN_RATIO
    return colorsys.hsv_to_rgb(hue % 1.0, 0.75, 1.0)


def _opacity(confidence: float) -> float:
    return min(1.0, max(MIN_OPACITY, confidence)) if math.isfinite(confidence) else MIN_OPACITY


def _above_head(message: Any, places: list[Any], present: list[bool]) -> tuple[float, float, float]:
    """Beyond the head as seen from the root: above it for who stands, in any frame."""
    positions = np.array([(place.x, place.y, place.z) for place in places])
    root = list(message.parents).index(-1)
    head = list(message.joint_names).index("head") if "head" in message.joint_names else -1
    anchor = positions[head] if head >= 0 and present[head] else positions[present].mean(axis=0)
    away = anchor - positions[root] if present[root] else np.zeros(3)
    anchor = anchor + NAME_GAP_M * away / max(float(np.linalg.norm(away)), 1e-6)
    return float(anchor[0]), float(anchor[1]), float(anchor[2])


def _check(message: Any) -> None:
    count = len(message.joint_names)
    if len(message.parents) != count:
        raise ValueError(f"expected one parent per joint name, got {len(message.parents)} for {count} names")
    if message.skeletons and (-1 not in message.parents or not all(-1 <= p < count for p in message.parents)):
        raise ValueError(
            f"expected parents from 0 to {count - 1}, -1 at the root, got {list(map(int, message.parents))}"
        )
    ids = [skeleton.id for skeleton in message.skeletons]
    if len(set(ids)) != len(ids):
        raise ValueError(f"expected one skeleton per id, got ids {ids}")
    for skeleton in message.skeletons:
        if len(skeleton.joints) != count:
            raise ValueError(
                f"expected {count} joints of {skeleton.id!r}, one per joint name, got {len(skeleton.joints)}"
            )
