"""Optical flow: how far what is seen at each pixel has moved since the previous image.

Convention: flow lies on the grid of the *current* image. The point now at (x, y) was at (x, y) - flow[y, x] one image
before. So it is sampled where the joints are now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.weights import WeightsError, locate
from mambapose_ros.weights.state_dict import read_state_dict

if TYPE_CHECKING:
    import torch


class FlowEstimator(Protocol):
    """Turns a stream of images into flow; remembers the previous image."""

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB -> (H, W, 2) float32 pixels; None when this image does not continue the previous one.

        That is so for the first image, after a change of size, and where the picture was cut.
        """

    def reset(self) -> None:
        """Forget the previous image: what comes next does not follow it."""


class PairFlow(Protocol):
    """Finds the flow between two images of one size."""

    def __call__(self, current: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB each -> (H, W, 2) float32 pixels, in this module's convention."""


_SMALLEST = 16  # pixels; DIS compares patches of 8 at several scales and fails on less


class StreamFlow:
    """Flow between consecutive images, where there is any.

    Args:
        pairs: finds flow between two images.
        width: of the images that it is given, pixels; wider ones are scaled down, and their flow up again.
    """

    def __init__(self, pairs: PairFlow, width: int) -> None:
        if width < _SMALLEST:
            raise ValueError(f"expected a flow width of {_SMALLEST} pixels or more, got {width}; 320 is usual")
        self._pairs, self._width = pairs, width
        self._cuts = _CutDetector()
        self._previous: np.ndarray | None = None
        self._size = (0, 0)

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        height, width = image.shape[:2]
        current = scaled_down(image, self._width)
        previous, self._previous = self._previous, current
        size, self._size = self._size, (height, width)
        if previous is None or size != self._size or min(current.shape[:2]) < _SMALLEST:
            return None
        if self._cuts(current, previous):
            return None
        return scaled_up(self._pairs(current, previous), width, height)

    def reset(self) -> None:
        self._previous = None


def scaled_down(image: np.ndarray, width: int) -> np.ndarray:
    """A copy of an image (H, W[, 3]), at most that wide."""
    import cv2

    if image.shape[1] <= width:
        return image.copy()  # the caller's buffer may be reused for the next image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def scaled_up(flow: np.ndarray, width: int, height: int) -> np.ndarray:
    """Flow on a coarser grid -> on one of this size, its vectors longer by the same factors."""
    import cv2

    rows, columns = flow.shape[:2]
    if (rows, columns) == (height, width):
        return flow
    # Pixel centres lie on whole numbers and the images' corners, at -0.5, fall together: OpenCV's rule as well.
    longer: np.ndarray = flow * np.array([width / columns, height / rows], np.float32)
    return cv2.resize(longer, (width, height))


class _CutDetector:
    """Whether one image does not show what the previous one showed, from flow there and back on small copies.

    Where both see a point, the way there and back ends where it began (Sundaram et al., ECCV 2010, equation 5). On
    rendered people, from 30 down to 3 images a second and with a moving camera, that holds for 63 to 100 % of the
    pixels; across cuts between rooms it holds for 8 to 22 %.
    """

    WIDTH = 160
    LEAST_CONSISTENT = 0.4
    LEAST_CONTRAST = 2.0  # grey levels; less is a covered lens or a blank screen, in which nothing can be followed

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, current: np.ndarray, previous: np.ndarray) -> bool:
        import cv2

        if np.array_equal(current, previous):
            return False
        now, before = (
            scaled_down(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self.WIDTH) for image in (current, previous)
        )
        if min(now.shape) < _SMALLEST:
            return False  # a sliver; too little to judge by
        if min(now.std(), before.std()) < self.LEAST_CONTRAST:
            return True
        there = self._dis.calc(now, before, None)  # type: ignore[call-overload]  # None: no initial flow
        back = self._dis.calc(before, now, None)  # type: ignore[call-overload]
        x = np.arange(now.shape[1], dtype=np.float32) + there[..., 0]
        y = np.arange(now.shape[0], dtype=np.float32)[:, None] + there[..., 1]
        back = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan, np.nan))
        gap, way = ((there + back) ** 2).sum(axis=2), (there**2).sum(axis=2) + (back**2).sum(axis=2)
        inside = np.isfinite(gap)
        if not inside.any():
            return True
        return float((gap[inside] < 0.01 * way[inside] + 0.5).mean()) < self.LEAST_CONSISTENT


class DIS:
    """Dense Inverse Search (Kroeger et al., ECCV 2016) by OpenCV: no weights, some milliseconds on a CPU.

    Median end-point error on rendered people at 640x480 and 30 images a second: 0.3 to 0.4 px walking, 0.5 to 1.0 px
    running, where limbs move by 10 px and more.
    """

    # Patches of 5 by 5 pixels, side by side: the usual ones of 8 by 8 reach over the edges of limbs. Where an image is
    # smaller and patches of 4 by 4 pixels are as large in it, that takes two thirds of the time.
    _PIXELS = 5
    _SCALED_PIXELS = 4

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._dis.setFinestScale(0)
        self._dis.setPatchSize(self._SCALED_PIXELS)
        self._dis.setPatchStride(self._SCALED_PIXELS)
        self._dis.setVariationalRefinementIterations(0)  # would take longer than the rest

    def __call__(self, current: np.ndarray, previous: np.ndarray) -> np.ndarray:
        import cv2

        height, width = current.shape[:2]
        patches = round(width / self._PIXELS), round(height / self._PIXELS)
        size = (patches[0] * self._SCALED_PIXELS, patches[1] * self._SCALED_PIXELS)
        now, before = (cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size) for image in (current, previous))
        # From now to before: flow on the current grid, with the opposite sign.
        flow = -self._dis.calc(now, before, None)  # type: ignore[call-overload]  # None: no initial flow
        of_patches = flow[:: self._SCALED_PIXELS, :: self._SCALED_PIXELS] / self._SCALED_PIXELS
        # The median of neighbours: patches as small as these go astray one by one.
        return scaled_up(cv2.medianBlur(of_patches, 3), width, height)


class RAFT:
    """Recurrent All-pairs Field Transforms (Teed and Deng, ECCV 2020), the networks of torchvision.

    Images are padded to sides that are multiples of 8 and 128 pixels or more, which is what the network takes, by
    repeating their border; the flow of the padding is cut off again.

    Args:
        network: from ``load_raft``.
        updates: refinements of the flow; more are more accurate and take longer.
        device: to run on.
    """

    _SMALLEST_SIDE = 128

    def __init__(self, network: torch.nn.Module, updates: int, device: str = "cpu") -> None:
        if updates < 1:
            raise ValueError(f"expected 1 or more updates of the flow, got {updates}; 4 are fast, 12 accurate")
        self._network, self._updates, self._device = network.to(device), updates, device

    def __call__(self, current: np.ndarray, previous: np.ndarray) -> np.ndarray:
        import torch

        height, width = current.shape[:2]
        with torch.inference_mode():
            now, before = self.prepare(current), self.prepare(previous)
            flow = self._network(now, before, num_flow_updates=self._updates)[-1][0]
            top, left = _margins(now.shape[2], height)[0], _margins(now.shape[3], width)[0]
            flow = flow[:, top : top + height, left : left + width]
            # From now to before: flow on the current grid, with the opposite sign.
            return (-flow).permute(1, 2, 0).contiguous().cpu().numpy()

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 -> (1, 3, H', W') float32 in [-1, 1], padded evenly on all sides."""
        import torch
        from torch.nn.functional import pad

        tensor = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        height, width = (max(self._SMALLEST_SIDE, -(-side // 8) * 8) for side in image.shape[:2])
        return pad(tensor, (*_margins(width, image.shape[1]), *_margins(height, image.shape[0])), mode="replicate")


def _margins(padded: int, side: int) -> tuple[int, int]:
    before = (padded - side) // 2
    return before, padded - side - before


def load_raft(name: str, path: Path) -> torch.nn.Module:
    """A RAFT network in eval mode on the CPU; nothing in the file is run.

    Args:
        name: raft_small or raft_large.
        path: file with a state dict of torchvision's network of that name.

    Raises:
        WeightsError: when the file is not that.
    """
    from torchvision.models import optical_flow

    expected = f"the parameters of torchvision's {name}"
    remedy = f"give such a file, or run `mambapose download {name.replace('_', '-')}`"
    state = read_state_dict(path, expected, remedy)
    network = getattr(optical_flow, name)(weights=None)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        problems = "; ".join(line.strip() for line in str(error).splitlines()[1:4]) or str(error)
        raise WeightsError(f"{path}: expected {expected}, but others came ({problems[:300]}); {remedy}") from error
    return network.eval()


def _make_dis(name: str, device: str, weights: str, width: int, updates: int) -> FlowEstimator:
    return StreamFlow(DIS(), width or 640)


def _make_raft(name: str, device: str, weights: str, width: int, updates: int) -> FlowEstimator:
    network = load_raft(name, locate(weights or name.replace("_", "-")))
    on_cpu = device == "cpu"
    return StreamFlow(RAFT(network, updates or (4 if on_cpu else 12), device), width or (320 if on_cpu else 640))


def _make_none(name: str, device: str, weights: str, width: int, updates: int) -> None:
    return None


FLOWS: Mapping[str, Callable[[str, str, str, int, int], FlowEstimator | None]] = MappingProxyType(
    {"dis": _make_dis, "raft_small": _make_raft, "raft_large": _make_raft, "off": _make_none}
)
"""Name -> what makes it, given the arguments of ``make_flow``."""


def make_flow(
    name: str, device: str = "cpu", weights: str = "", width: int = 0, updates: int = 0
) -> FlowEstimator | None:
    """The estimator of that name; ``"off"`` is None. Never downloads.

    Args:
        name: a key of ``FLOWS``.
        device: where networks run, "cpu" or "cuda".
        weights: of RAFT: a file; empty = what ``mambapose download`` fetched.
        width: images are scaled down to, pixels; 0 = 640, or for RAFT on a CPU 320.
        updates: of RAFT: refinements; 0 = 12, or on a CPU 4.

    Raises:
        ValueError: for another name or numbers that make no sense.
        WeightsError: when the weights are not on this machine, or are not RAFT's.
        UserError: when a library that it needs is not installed.
    """
    if name not in FLOWS:
        raise ValueError(f"expected flow to be one of {', '.join(FLOWS)}, got {name!r}")
    try:
        return FLOWS[name](name, device, weights, width, updates)
    except ImportError as error:
        raise UserError(
            f"flow {name!r} cannot run here: {error}. Install it with pip, or `make build` in a checkout; dis and off "
            "remain"
        ) from error
