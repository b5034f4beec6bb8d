"""MediaPipe pose (BlazePose, Bazarevsky et al. 2020; code and model Apache-2.0): on a CPU, model inside the wheel.

Several people: each is followed by an instance of the landmark network of their own, and one finder looks for others,
in one window of the image at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mambapose_ros.perception.keypoints.blazepose import Finder, Follower, Glance, Landmarks, Region
from mambapose_ros.perception.keypoints.overlap import share_in_box, share_on_body
from mambapose_ros.perception.keypoints.plausibility import is_convincing, is_plausible
from mambapose_ros.perception.keypoints.windows import SMALLEST_WINDOW, Window, search_windows, without_people
from mambapose_ros.perception.oks import oks
from mambapose_ros.skeleton import BLAZEPOSE_TO_H36M, map_landmarks
from mambapose_ros.types import Frame, PersonKeypoints

_SEARCH_EVERY = 3  # images, while somebody is followed; a search costs half of what following one person does
_LOOK_BACK = 30  # images for which the place where somebody was lost is searched
_PATIENCE = 5  # images that somebody implausible is followed on, unreported
_SAME_PERSON = 0.45  # OKS
_PART_OF = 0.6  # share of joints on somebody else
_TOUCHES = 0.2  # likewise, of a small find inside somebody's box


@dataclass(frozen=True, eq=False)
class _Followed:
    """Somebody who is followed.

    Attributes:
        region: where to look for them in the next image.
        person: as seen in this one.
        doubts: images in a row in which they did not look like a person.
    """

    follower: Follower
    region: Region
    person: PersonKeypoints
    doubts: int = 0


class MediaPipeDetector:
    """BlazePose "full" in video mode, for several people. The first to be found has the landmarks of solutions.pose.

    Args:
        max_people: followed at a time, 1 or more; nobody else is looked for while so many are.
        device: MediaPipe runs on the CPU whatever it says.

    Raises:
        ImportError: when mediapipe is not installed.
    """

    def __init__(self, max_people: int = 4, device: str = "cpu") -> None:
        self._finder = Finder()
        self._glance = Glance()
        self._max_people = max_people
        self._free = [Follower()]
        self._followed: tuple[_Followed, ...] = ()
        self._search: _Search | None = None

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        image = frame.image
        if self._search is None or self._search.shape != image.shape:
            self._search = _Search(image.shape)
        self._follow(image)
        for window in self._search.windows(bool(self._followed)):
            if self._is_full:
                break
            self._find(image, window)
        return tuple(someone.person for someone in self._followed if not someone.doubts)

    def reset(self) -> None:
        for someone in self._followed:
            self._release(someone.follower)
        self._followed = ()
        self._search = None

    def close(self) -> None:
        for follower in (*self._free, *(someone.follower for someone in self._followed)):
            follower.close()
        self._glance.close()
        self._finder.close()
        self._free, self._followed = [], ()

    @property
    def _is_full(self) -> bool:
        return len(self._followed) >= self._max_people

    def _follow(self, image: np.ndarray) -> None:
        """See everybody again; let go of those who are lost, no person for long, or another one seen twice."""
        seen = []
        for someone in self._followed:
            landmarks = someone.follower(image, someone.region)
            now = landmarks and self._update(someone, landmarks, image)
            if now:
                seen.append(now)
            else:
                self._lose(someone, image)
        # Those who were found first stay: a part of somebody, or a follower that slid onto somebody, came later.
        kept: list[_Followed] = []
        for someone in seen:
            if any(_one(someone.person, other.person) for other in kept):
                self._lose(someone, image)
            else:
                kept.append(someone)
        self._followed = tuple(kept)

    def _update(self, someone: _Followed, landmarks: Landmarks, image: np.ndarray) -> _Followed | None:
        person = _person(landmarks)
        doubts = 0 if is_plausible(person, image.shape[1], image.shape[0]) else someone.doubts + 1
        if doubts > _PATIENCE or landmarks.next_region is None:
            return None
        return replace(someone, region=landmarks.next_region, person=person, doubts=doubts)

    def _find(self, image: np.ndarray, window: Window) -> None:
        """Start to follow those in the window whom nobody follows yet."""
        height, width = image.shape[:2]
        part = without_people(image, [someone.person for someone in self._followed], window)
        for found in self._finder(part):
            region = _from_window(found, window, width, height)
            if self._is_full:
                return
            if any(_alike(region, someone.region, width / height) for someone in self._followed):
                continue
            glance = self._glance(image, region)
            if glance is None or not self._is_new(_person(glance), window, width, height):
                continue
            follower = self._free.pop()
            landmarks = follower(image, region)
            if landmarks is None or landmarks.next_region is None:
                self._release(follower)
                continue
            self._followed += (_Followed(follower, landmarks.next_region, _person(landmarks)),)
            if not self._free and not self._is_full:
                self._free.append(Follower())  # starts in the background, ready for whoever comes next

    def _is_new(self, person: PersonKeypoints, window: Window, width: int, height: int) -> bool:
        """Whether a find is a person whom nobody follows yet."""
        if not self._followed and (window.width, window.height) == (width, height):
            return is_plausible(person, width, height)  # as easily convinced as solutions.pose
        return is_convincing(person, width, height) and not any(
            _one(person, someone.person) or _within(person, someone.person) for someone in self._followed
        )

    def _lose(self, someone: _Followed, image: np.ndarray) -> None:
        """Follow somebody no longer, and look for them where they were."""
        if self._search is not None:
            self._search.look_back(_around(someone.region, image.shape[1], image.shape[0]))
        self._release(someone.follower)

    def _release(self, follower: Follower) -> None:
        follower.forget()
        self._free.append(follower)


class _Search:
    """Which windows of an image to search when: all of the first one, then a bounded number of each.

    Args:
        shape: of the images.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        height, width = shape[:2]
        self._whole, *parts = search_windows(width, height)
        self._parts = parts or [self._whole]
        self._images = 0
        self._next = 0
        self._lost: list[tuple[Window, int]] = []

    def look_back(self, window: Window) -> None:
        """Somebody was lost here."""
        if min(window.width, window.height) >= SMALLEST_WINDOW:
            self._lost.append((window, self._images + _LOOK_BACK))

    def windows(self, followed: bool) -> Iterator[Window]:
        """The windows for the next image; ``followed`` = somebody is in it already."""
        self._images += 1
        if self._images == 1:
            yield from (self._whole, *self._parts)
            return
        self._lost = [(window, until) for window, until in self._lost if self._images <= until]
        if self._lost:
            yield self._lost[self._images % len(self._lost)][0]
        if not followed:
            yield from (self._whole, self._turn(self._parts))
        elif self._images % _SEARCH_EVERY == 0:
            yield self._turn([self._whole, *self._parts])

    def _turn(self, windows: list[Window]) -> Window:
        self._next += 1
        return windows[self._next % len(windows)]


def _person(landmarks: Landmarks) -> PersonKeypoints:
    xy, confidence = map_landmarks(BLAZEPOSE_TO_H36M, landmarks.xy, landmarks.visibility)
    return PersonKeypoints(xy=xy, confidence=confidence)


def _from_window(region: Region, window: Window, width: int, height: int) -> Region:
    """A region of a window as one of the image."""
    return Region(
        x=(window.x + region.x * window.width) / width,
        y=(window.y + region.y * window.height) / height,
        width=region.width * window.width / width,
        height=region.height * window.height / height,
        rotation=region.rotation,
    )


def _around(region: Region, width: int, height: int) -> Window:
    """The window around somebody in which a finder sees them well."""
    x, y, half = region.x * width, region.y * height, 0.6 * region.height * height
    x0, x1 = np.clip((round(x - half), round(x + half)), 0, width)
    y0, y1 = np.clip((round(y - half), round(y + half)), 0, height)
    return Window(int(x0), int(y0), int(x1 - x0), int(y1 - y0))


def _one(person: PersonKeypoints, other: PersonKeypoints) -> bool:
    """Whether a person is another one seen twice, or a part of them."""
    return oks(person, other) > _SAME_PERSON or share_on_body(person, other) > _PART_OF


def _within(person: PersonKeypoints, other: PersonKeypoints) -> bool:
    """Whether a find is so small, and so much inside somebody, that it is probably a part of them.

    Somebody farther away beside their body may lie inside their box as well.
    """
    (_, a0, _, a1), (_, b0, _, b1) = person.box, other.box
    small = a1 - a0 < 0.6 * (b1 - b0)
    return small and share_in_box(person, other) > 0.8 and share_on_body(person, other) > _TOUCHES


def _alike(a: Region, b: Region, aspect: float) -> bool:
    """Whether two regions, in an image ``aspect`` times as wide as high, are about the same person without doubt."""
    distance = math.hypot((a.x - b.x) * aspect, a.y - b.y)
    return distance < 0.1 * min(a.height, b.height) and 0.7 < a.height / b.height < 1.4
