"""2D front ends: from an image to the joints of the people in it. One protocol, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol

from mambapose_ros.errors import UserError
from mambapose_ros.types import Frame, PersonKeypoints
from mambapose_ros.weights import WeightsError


class KeypointDetector(Protocol):
    """Finds people. May use earlier images to find them sooner, so frames come in order."""

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        """The people in a frame, Human3.6M-17 joints in the pixels of its image, without ids."""

    def reset(self) -> None:
        """Forget earlier images: what comes next does not follow them."""

    def close(self) -> None:
        """Give back memory; the detector is not used again."""


class DetectorUnavailable(UserError):
    """A front end that cannot run here; the message says why and what can."""


# name -> "module:class"; imported when asked for, since each brings a heavy library.
DETECTORS: Mapping[str, str] = MappingProxyType(
    {
        "mediapipe": "mambapose_ros.perception.keypoints.mediapipe:MediaPipeDetector",
        "vitpose": "mambapose_ros.perception.keypoints.vitpose:VitPoseDetector",
        "keypoint_rcnn": "mambapose_ros.perception.keypoints.keypoint_rcnn:KeypointRCNNDetector",
        "external": "mambapose_ros.perception.keypoints.external:ExternalKeypoints",
        "ground_truth": "mambapose_ros.perception.keypoints.external:ExternalKeypoints",
    }
)

IMAGE_DETECTORS = tuple(name for name in DETECTORS if name not in ("external", "ground_truth"))
"""Those that look at images; the others are given what they answer (``Frame.people``)."""

_WEIGHTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"vitpose": ("weights", "finder_weights"), "keypoint_rcnn": ("weights",)}
)
"""name -> which weights it takes; the others bring their own, or need none."""


def make_detector(
    name: str,
    max_people: int = 4,
    device: str = "cpu",
    weights: str = "",
    finder_weights: str = "",
) -> KeypointDetector:
    """The front end of that name. Never downloads.

    Args:
        name: a key of ``DETECTORS``.
        max_people: most people that it looks for.
        device: where its networks run, "cpu" or "cuda", as ``resolve_device`` gives it. MediaPipe has the CPU only.
        weights: of vitpose a name of the registry or a folder, of keypoint_rcnn a name or a file; empty = what
            ``mambapose download`` fetched. Of no meaning to the others.
        finder_weights: of the network that finds people for vitpose, likewise.

    Raises:
        ValueError: for an unknown name, or ``max_people`` below 1.
        DetectorUnavailable: when what it needs is not on this machine.
    """
    if name not in DETECTORS:
        raise ValueError(f"expected detector to be one of {sorted(DETECTORS)}, got {name!r}")
    if max_people < 1:
        raise ValueError(f"expected max_people of 1 or more, got {max_people}")
    given = {"weights": weights, "finder_weights": finder_weights}
    chosen = {kind: given[kind] for kind in _WEIGHTS.get(name, ()) if given[kind]}
    module, _, attribute = DETECTORS[name].partition(":")
    try:
        factory: Callable[..., KeypointDetector] = getattr(import_module(module), attribute)
        return factory(max_people=max_people, device=device, **chosen)
    except ImportError as error:
        reason = f"detector {name!r} cannot run here: {error}."
        if name == "mediapipe":
            reason += " MediaPipe has builds for Python 3.10-3.12 on x86-64;"
        else:
            reason += " Install it with pip, or `make build` in a checkout;"
        others = ", ".join(sorted(set(DETECTORS) - {name}))
        raise DetectorUnavailable(f"{reason} front ends that remain: {others}") from error
    except WeightsError as error:
        raise DetectorUnavailable(f"detector {name!r} cannot run here: {error}. mediapipe needs no download") from error
