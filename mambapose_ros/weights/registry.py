"""Every model by name: what it does, where it comes from, under which terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mambapose_ros.weights.sources import Address, ChecksumError, Hub, MissingError, Shipped, Source, WeightsError


@dataclass(frozen=True)
class Model:
    """A model that can be asked for by name.

    Attributes:
        name: what parameters and ``mambapose download`` call it.
        purpose: what it does.
        source: where its files come from, in which revision, checked against what.
        licence: of the files.
        data_terms: what the data it was trained on allows.
        megabytes: to download, 10^6 bytes; None = unknown.
    """

    name: str
    purpose: str
    source: Source
    licence: str
    data_terms: str
    megabytes: float | None = None

    @property
    def shipped(self) -> bool:
        """Whether it belongs to the package, so that there is nothing to download."""
        return isinstance(self.source, Shipped)


_TRANSFORMERS_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_TORCHVISION = "https://download.pytorch.org/models/"


def _posemamba(size: str, megabytes: float | None = None) -> Model:
    return Model(
        name=f"posemamba-{size.lower()}",
        purpose=f"2D-to-3D lifter PoseMamba-{size}, 243 frames (Huang et al., arXiv 2408.03540)",
        source=Hub("nankingjings/PoseMamba-weights", (f"PoseMamba_{size}.bin",)),
        licence="Apache-2.0 (code)",
        data_terms="trained on Human3.6M, which its authors license for academic use only",
        megabytes=megabytes,
    )


def _depth_anything(variant: str, purpose: str, licence: str, data_terms: str) -> Model:
    return Model(
        name=f"depth-anything-v2-{variant.lower()}",
        purpose=f"{purpose} (Yang et al., arXiv 2406.09414)",
        source=Hub(f"depth-anything/Depth-Anything-V2-{variant}-hf", _TRANSFORMERS_FILES),
        licence=licence,
        data_terms=data_terms,
        megabytes=99.2,
    )


def _vitpose(variant: str, purpose: str, data_terms: str, megabytes: float) -> Model:
    return Model(
        name=f"vitpose-{variant}",
        purpose=f"{purpose} (Xu et al., arXiv 2204.12484, 2212.04246)",
        source=Hub(f"usyd-community/vitpose-{variant}", _TRANSFORMERS_FILES),
        licence="Apache-2.0",
        data_terms=data_terms,
        megabytes=megabytes,
    )


def _torchvision(name: str, purpose: str, filename: str, data_terms: str, megabytes: float) -> Model:
    return Model(name, purpose, Address(_TORCHVISION + filename), "BSD-3-Clause (code)", data_terms, megabytes)


def _mambapose(size: str, purpose: str) -> Model:
    return Model(
        name=f"mambapose-{size}",
        purpose=f"2D-to-3D lifter of this package, keypoints, flow and depth to metric 3D: {purpose}",
        source=Shipped(f"mambapose_{size}.safetensors"),
        licence="Apache-2.0",
        data_terms="trained on CMU motion capture (free for all uses, not to be resold) and ReActIdle (MIT)",
    )


_MODELS = (
    _mambapose("xs", "the faster one, 0.6 M parameters"),
    _mambapose("s", "the more accurate one, 1.5 M parameters"),
    *(_posemamba(size, megabytes) for size, megabytes in (("S", 6.0), ("B", None), ("L", None))),
    _torchvision(
        "raft-small",
        "optical flow, 1.0 M parameters (Teed and Deng, ECCV 2020)",
        "raft_small_C_T_V2-01064c6d.pth",
        "trained on FlyingChairs and FlyingThings3D, published for research only",
        4.0,
    ),
    _torchvision(
        "raft-large",
        "optical flow, 5.3 M parameters (Teed and Deng, ECCV 2020)",
        "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        "trained on FlyingChairs, FlyingThings3D, Sintel, KITTI and HD1K, published for research only",
        21.1,
    ),
    _depth_anything(
        "Small",
        "relative depth, 24.8 M parameters",
        "Apache-2.0",
        "trained on synthetic images and on labels that a larger network gave to real ones",
    ),
    _depth_anything(
        "Metric-Indoor-Small",
        "depth in metres, indoors up to 20 m, 24.8 M parameters",
        "Apache-2.0 (code and base model; the model card names none)",
        "fine-tuned on Hypersim (CC BY-SA 3.0)",
    ),
    _depth_anything(
        "Metric-Outdoor-Small",
        "depth in metres, outdoors up to 80 m, 24.8 M parameters",
        "Apache-2.0 (code and base model; the model card names none)",
        "fine-tuned on Virtual KITTI 2 (CC BY-NC-SA 3.0: not commercial)",
    ),
    _vitpose(
        "base-simple",
        "2D keypoints of a person in a box, 85.9 M parameters",
        "trained on COCO keypoints (annotations CC BY 4.0)",
        344.0,
    ),
    _vitpose(
        "plus-small",
        "2D keypoints of a person in a box, mixture of experts, 33 M parameters",
        "trained on COCO, AI Challenger, MPII, AP-10K and others, some of them for research only",
        132.6,
    ),
    Model(
        name="rtdetr-r18",
        purpose="finds people for vitpose, 20 M parameters (Zhao et al., arXiv 2304.08069)",
        source=Hub("PekingU/rtdetr_r18vd_coco_o365", _TRANSFORMERS_FILES),
        licence="Apache-2.0",
        data_terms="trained on COCO (annotations CC BY 4.0) and Objects365",
        megabytes=80.9,
    ),
    _torchvision(
        "keypoint-rcnn",
        "people and their 2D keypoints in one network, 59 M parameters (He et al., ICCV 2017)",
        "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        "trained on COCO keypoints (annotations CC BY 4.0)",
        237.0,
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})


def lifter_for(device: str, name_or_path: str = "auto") -> str:
    """The weights to lift with: "auto" is the more accurate ``mambapose-s`` on a GPU, the faster ``mambapose-xs`` on a
    CPU.

    Args:
        device: "cpu" or "cuda".
        name_or_path: as for ``locate``, or "auto".
    """
    if name_or_path != "auto":
        return name_or_path
    return "mambapose-xs" if device == "cpu" else "mambapose-s"


def locate(name_or_path: str) -> Path:
    """The file of a model on this machine, or the folder of a model of several files; never touches the network.

    Args:
        name_or_path: a key of ``MODELS``, or a file or folder, which is taken as it is.

    Raises:
        MissingError: when the model has not been downloaded.
        WeightsError: when there is no such file, it cannot be read, or the model is damaged. Messages say what puts it
            right.
    """
    if name_or_path not in MODELS:
        path = Path(name_or_path).expanduser()
        if not name_or_path or not path.exists():
            raise WeightsError(
                f"no weights {name_or_path!r}: expected a file, a folder or one of {', '.join(MODELS)}, which "
                "`mambapose download NAME` fetches"
            )
        return path
    model = MODELS[name_or_path]
    try:
        found = model.source.find()
    except ChecksumError as error:
        raise WeightsError(f"{error}. Run `mambapose download {model.name}` to fetch it again") from error
    except OSError as error:
        raise WeightsError(
            f"cannot look for {model.name} on this machine: {error}. Make that readable, or choose another folder with "
            "HF_HOME and TORCH_HOME"
        ) from error
    if found is not None:
        return found
    if model.shipped:
        return model.source.fetch()  # says what to do
    raise MissingError(f"{model.name} is not on this machine: run `mambapose download {model.name}`")


def is_here(name: str) -> bool:
    """Whether a model of ``MODELS`` is on this machine, sound or not; takes no time, since it is not read."""
    try:
        return MODELS[name].source.is_here()
    except (OSError, WeightsError):  # it cannot be used
        return False


def download(name: str, offline: bool = False) -> Path:
    """Where a model is; fetches it first when it is not on this machine, or damaged.

    Shows progress and resumes where an earlier try stopped.

    Args:
        name: a key of ``MODELS``.
        offline: do not touch the network, as ``locate``.

    Raises:
        WeightsError: for an unknown name, or when the model cannot be had.
    """
    if name not in MODELS:
        raise WeightsError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    try:
        return locate(name)
    except WeightsError:
        if offline:
            raise
    try:
        return MODELS[name].source.fetch()
    except ChecksumError as error:
        raise WeightsError(
            f"{name}: {error}. It was thrown away; run `mambapose download {name}` again, and if that does not help, "
            "something between here and there changes files"
        ) from error
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}") from error
