"""What ``mambapose bench`` measures: the stages of the pipeline, and the network that they are compared to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.perception.pipeline import Pipeline, PipelineOptions
from mambapose_ros.types import Frame, LiftedFrame, PersonKeypoints

if TYPE_CHECKING:
    from torch import nn

RATE = 30.0
"""Images per second."""

RECORDED = 16
"""Images of a scene; shown to and fro, so that people move on smoothly."""

VITPOSE_B = {
    "backbone_config": {
        "model_type": "vitpose_backbone",
        "image_size": [256, 192],
        "patch_size": [16, 16],
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "mlp_ratio": 4,
        "out_indices": [12],
    },
    "num_labels": 17,
    "use_simple_decoder": True,
}
"""Shape of the network (Xu et al., arXiv 2204.12484, with the simple decoder), as transformers writes it."""


@dataclass(frozen=True)
class Shot:
    """An image, and what the later stages are given about it.

    Attributes:
        frame: the image.
        people: in it, with ids; exact.
        flow: (H, W, 2) pixels since the image before.
    """

    frame: Frame
    people: tuple[PersonKeypoints, ...]
    flow: np.ndarray | None


class Loaded(NamedTuple):
    """What is measured, ready to run.

    Attributes:
        process: called with every shot.
        parameters: of its network; None = not known to this package.
    """

    process: Callable[[Shot], object]
    parameters: int | None


@dataclass(frozen=True)
class Subject:
    """Something to measure.

    Attributes:
        name: in tables.
        load: makes it ready for options whose device is "cpu" or "cuda".
        libraries: modules whose import does not count as its memory.
        people: in the images.
    """

    name: str
    load: Callable[[PipelineOptions], Loaded]
    libraries: tuple[str, ...] = ()
    people: int = 1


def record(people: int) -> tuple[Shot, ...]:
    """Synthetic people who walk to and fro: shots that may be repeated without a jump."""
    from mambapose_ros.perception.flow import make_flow
    from mambapose_ros.synthetic import SyntheticScene

    scene = SyntheticScene(motion="walk", people=people, fps=RATE)
    rendered = [scene.render(index) for index in range(RECORDED)]
    to_and_fro = [*rendered, *rendered[-2:0:-1]]
    flow = make_flow("dis")
    assert flow is not None
    flow(to_and_fro[-1].image)
    return tuple(
        Shot(
            frame=Frame(0, "camera", truth.image, truth.camera),
            people=tuple(
                PersonKeypoints(np.where(seen[:, None], xy, np.nan), seen.astype(np.float64), id=f"p{number}")
                for number, (xy, seen) in enumerate(zip(truth.keypoints, truth.visibility, strict=True))
            ),
            flow=flow(truth.image),
        )
        for truth in to_and_fro
    )


def play(shots: Sequence[Shot]) -> Iterator[Shot]:
    """The shots again and again, each with the stamp of its time."""
    for index, shot in enumerate(itertools.cycle(shots)):
        yield replace(shot, frame=replace(shot.frame, stamp_ns=round(index * 1e9 / RATE)))


def _load_vitpose(options: PipelineOptions) -> Loaded:
    """With random weights: time and memory are the same whatever it has learned."""
    try:
        import torch
        from transformers import VitPoseConfig, VitPoseForPoseEstimation
    except ImportError as error:
        raise UserError(f"the baseline needs the Python package transformers: {error}; install it with pip") from error
    network = VitPoseForPoseEstimation(VitPoseConfig.from_dict(VITPOSE_B)).eval().to(options.device)
    crop = torch.rand(1, 3, 256, 192, device=options.device)

    def process(shot: Shot) -> np.ndarray:
        with torch.inference_mode():
            return network(crop).heatmaps.cpu().numpy()

    return Loaded(process, _count_parameters(network))


def _load_pipeline(options: PipelineOptions) -> Loaded:
    pipeline = Pipeline.create(options)
    return Loaded(lambda shot: pipeline(shot.frame), None)


def _load_detector(options: PipelineOptions) -> Loaded:
    from mambapose_ros.perception.keypoints import make_detector

    detector = make_detector(options.detector, options.max_people, options.device)
    return Loaded(lambda shot: detector(shot.frame), None)


def _load_flow(options: PipelineOptions) -> Loaded:
    from mambapose_ros.perception.flow import make_flow

    flow = make_flow(options.flow, options.device)
    assert flow is not None
    return Loaded(lambda shot: flow(shot.frame.image), 0)


def _load_tracker(options: PipelineOptions) -> Loaded:
    from mambapose_ros.perception.tracker import Tracker

    tracker = Tracker(options.max_people)
    return Loaded(lambda shot: tracker(shot.frame.stamp_ns, shot.people, shot.flow), 0)


def _load_lifter(options: PipelineOptions, window: int) -> Loaded:
    from mambapose_ros.models.mambapose import load_mambapose
    from mambapose_ros.perception.lifter import Lifter
    from mambapose_ros.perception.lifting_networks import FusionMambaPose
    from mambapose_ros.weights import lifter_for, locate

    model = load_mambapose(locate(lifter_for(options.device, options.weights)))
    lifter = Lifter(FusionMambaPose(model, device=options.device), window)

    def process(shot: Shot) -> LiftedFrame | None:
        return lifter(shot.frame, shot.people, shot.flow)

    return Loaded(process, _count_parameters(model))


def _count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


_LIFTING = ("mambapose_ros.perception.lifting_networks",)
_DETECTING = ("mediapipe.python.solution_base",)
_TRACKING = ("scipy.optimize",)

BASELINE = Subject("ViTPose-B", _load_vitpose, ("transformers.models.vitpose.modeling_vitpose",))

SUBJECTS = (
    BASELINE,
    Subject("pipeline", _load_pipeline, (*_DETECTING, *_TRACKING, *_LIFTING)),
    Subject("detector", _load_detector, _DETECTING),
    Subject("flow", _load_flow),
    Subject("tracker", _load_tracker, _TRACKING),
    *(
        Subject(f"lifter, T = {window}", partial(_load_lifter, window=window), _LIFTING, people)
        for window in (27, 81)
        for people in (1, 4)
    ),
)
