"""Depth of every pixel, from a depth camera or from a network that guesses it from one image.

What the numbers mean is said by ``DepthMap.metric``: metres, or inverse depth of unknown scale and shift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.types import DepthMap, Frame
from mambapose_ros.weights import WeightsError, locate
from mambapose_ros.weights.transformers_folder import Architecture

if TYPE_CHECKING:
    import torch


class DepthEstimator(Protocol):
    """Turns frames into depth."""

    def __call__(self, frame: Frame) -> DepthMap | None:
        """Depth of this frame; None when it has none."""

    def reset(self) -> None:
        """Forget earlier frames: what comes next does not follow them."""


class SensorDepth:
    """What a depth camera measured; frames without it have no depth."""

    def __call__(self, frame: Frame) -> DepthMap | None:
        return None if frame.depth is None else DepthMap(frame.depth, metric=True, source="sensor")

    def reset(self) -> None:
        """Nothing is remembered."""


class DepthAnything:
    """Depth Anything V2 (Yang et al., NeurIPS 2024), as transformers publishes it.

    Args:
        folder: with config.json, preprocessor_config.json and model.safetensors. The configuration says whether the
            network gives metres or relative depth.
        source: what its depth maps are called.
        device: to run on.
        side: pixels that the image's height or width is scaled to, whichever changes the image less, as the
            publisher's preprocessing does; a multiple of 14. 0 = as the publisher has it (518).

    Raises:
        WeightsError: when the folder does not hold such a network.
        ValueError: for another side.
    """

    def __init__(self, folder: Path, source: str = "depth_anything", device: str = "cpu", side: int = 0) -> None:
        self._preparation = Preparation.read(folder / "preprocessor_config.json", side)
        self._network = _load_network(folder).to(device)
        self._source, self._device = source, device

    @property
    def metric(self) -> bool:
        """Whether the network gives metres."""
        return self._network.config.depth_estimation_type == "metric"

    def __call__(self, frame: Frame) -> DepthMap:
        return DepthMap(self.estimate([frame.image])[0], self.metric, self._source)

    def reset(self) -> None:
        """Nothing is remembered: each image is estimated by itself."""

    def estimate(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(H, W, 3) uint8 RGB images of one size -> (B, H, W) float32; what the numbers mean, ``metric`` says."""
        import torch
        from torch.nn.functional import interpolate

        height, width = images[0].shape[:2]
        with torch.inference_mode():
            depth = self._network(pixel_values=self.prepare(images)).predicted_depth
            # Bilinear, where the publisher's postprocessing is bicubic, which overshoots at the edges of people.
            depth = interpolate(depth[:, None].float(), (height, width), mode="bilinear", align_corners=False)
            return depth[:, 0].cpu().numpy()

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """(H, W, 3) uint8 RGB images of one size -> (B, 3, H', W') float32, what the network takes."""
        import torch

        pixels = torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2).contiguous()
        return self._preparation(pixels)


_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers of resampling filters, and what torchvision calls them."""


@dataclass(frozen=True)
class Preparation:
    """How a DPT-like network's publisher prepares images: preprocessor_config.json of transformers.

    Attributes:
        height, width: pixels that the image is scaled to, or one of them when the aspect ratio is kept.
        keep_aspect_ratio: scale both sides by the factor that is nearer to 1.
        multiple: of which both sides are made.
        resample: number of PIL's resampling filter.
        scale: of pixel values.
        mean, deviation: of each channel, subtracted and divided by after that.
    """

    height: int
    width: int
    keep_aspect_ratio: bool
    multiple: int
    resample: int
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def read(cls, path: Path, side: int = 0) -> Preparation:
        """From the publisher's file, with another ``side`` instead of its size unless that is 0.

        Raises:
            WeightsError: when it is not there, or asks for steps that are not done here.
            ValueError: when the side is no multiple of the network's patches.
        """
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            flags = {flag: bool(config.get(flag, True)) for flag in ("do_resize", "do_rescale", "do_normalize")}
            unknown = [flag for flag in ("do_pad", "do_center_crop", "do_reduce_labels") if config.get(flag)]
            unknown += [flag for flag, value in flags.items() if not value]
            unknown += ["resample"] if config.get("resample", 3) not in _FILTERS else []
            result = cls(
                height=int(config["size"]["height"]),
                width=int(config["size"]["width"]),
                keep_aspect_ratio=bool(config.get("keep_aspect_ratio", False)),
                multiple=int(config.get("ensure_multiple_of", 1)),
                resample=int(config.get("resample", 3)),
                scale=float(config.get("rescale_factor", 1.0 / 255.0)),
                mean=tuple(map(float, config["image_mean"])),
                deviation=tuple(map(float, config["image_std"])),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"{path}: expected the settings of a DPTImageProcessor, got {type(error).__name__}: {error}; "
                "give a folder as `mambapose download depth-anything-v2-small` fetches it"
            ) from error
        if unknown:
            raise WeightsError(
                f"{path}: {', '.join(unknown)} set otherwise than Depth Anything V2 has it; use its file"
            )
        if not side:
            return result
        if side < 0 or side % result.multiple:
            raise ValueError(f"expected a depth side that is a multiple of {result.multiple} pixels, got {side}")
        return cls(**{**vars(result), "height": side, "width": side})

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) uint8 -> (B, 3, H', W') float32."""
        import torch
        from torchvision.transforms.v2.functional import InterpolationMode, resize

        # Of bytes, as the publisher does it: rounded to bytes before they are normalised.
        filter_ = InterpolationMode(_FILTERS[self.resample])
        pixels = resize(pixels, self.size(*pixels.shape[2:]), filter_, antialias=True)
        mean, deviation = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (self.mean, self.deviation))
        return (pixels.float() * self.scale - mean) / deviation

    def size(self, height: int, width: int) -> list[int]:
        """Of a prepared image, [height, width] in pixels."""
        vertical, horizontal = self.height / height, self.width / width
        if self.keep_aspect_ratio:
            vertical = horizontal = min(vertical, horizontal, key=lambda factor: abs(1.0 - factor))
        # Never nothing, whatever the image's shape.
        return [
            max(self.multiple, round(scale * side / self.multiple) * self.multiple)
            for scale, side in ((vertical, height), (horizontal, width))
        ]


_DEPTH_ANYTHING = Architecture("Depth Anything V2", "depth_anything", "depth-anything-v2-small")


def _load_network(folder: Path) -> Any:
    import torchvision  # noqa: F401  # or the first image would tell that it is missing
    from transformers import AutoModelForDepthEstimation

    return _DEPTH_ANYTHING.load_network(AutoModelForDepthEstimation, folder)


def _make_depth_anything(name: str, device: str, weights: str, side: int) -> DepthAnything:
    folder = locate(weights or name.replace("_", "-"))
    result = DepthAnything(folder, name, device, side or (252 if device == "cpu" else 0))
    if result.metric != ("metric" in name):
        found = "metric" if result.metric else "relative"
        raise WeightsError(
            f"{folder}: expected the weights of {name}, but these give {found} depth; name such a network"
        )
    return result


def _make_sensor(name: str, device: str, weights: str, side: int) -> SensorDepth:
    return SensorDepth()


def _make_none(name: str, device: str, weights: str, side: int) -> None:
    return None


DEPTHS: Mapping[str, Callable[[str, str, str, int], DepthEstimator | None]] = MappingProxyType(
    {
        "off": _make_none,
        "sensor": _make_sensor,
        "depth_anything_v2_small": _make_depth_anything,
        "depth_anything_v2_metric_indoor_small": _make_depth_anything,
        "depth_anything_v2_metric_outdoor_small": _make_depth_anything,
    }
)
"""Name -> what makes it, given the arguments of ``make_depth``."""


def make_depth(name: str, device: str = "cpu", weights: str = "", side: int = 0) -> DepthEstimator | None:
    """The estimator of that name; ``"off"`` is None. Never downloads.

    Args:
        name: a key of ``DEPTHS``.
        device: where networks run, "cpu" or "cuda".
        weights: of networks: a folder; empty = what ``mambapose download`` fetched.
        side: of networks: as in ``DepthAnything``; 0 = 518 pixels, or on a CPU 252.

    Raises:
        ValueError: for another name, or another side than a multiple of 14.
        UserError: when the weights are not on this machine, or are not that network's, or a library is missing.
    """
    if name not in DEPTHS:
        raise ValueError(f"expected depth to be one of {', '.join(DEPTHS)}, got {name!r}")
    try:
        return DEPTHS[name](name, device, weights, side)
    except ImportError as error:
        raise UserError(
            f"depth {name!r} cannot run here: {error}. Install it with pip, or `make build` in a checkout; off and "
            "sensor remain"
        ) from error
