"""Every model that can be downloaded, and the only code that touches the network.

Files are kept by huggingface_hub, which resumes downloads and checks them against the hub's checksums; its cache folder
follows HF_HOME and HF_HUB_CACHE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mambapose_ros.errors import UserError


class WeightsError(UserError):
    """A model that is not there; the message says which command fetches it."""


@dataclass(frozen=True)
class Model:
    """One file of a model.

    Attributes:
        name: what parameters and ``mambapose download`` call it.
        purpose: what it does.
        repository, filename, revision: on the Hugging Face hub.
        licence: of the file.
        data_terms: what the data it was trained on allows.
    """

    name: str
    purpose: str
    repository: str
    filename: str
    revision: str
    licence: str
    data_terms: str


def _posemamba(size: str) -> Model:
    return Model(
        name=f"posemamba-{size.lower()}",
        purpose=f"2D-to-3D lifter PoseMamba-{size}, 243 frames (Huang et al., arXiv 2408.03540)",
        repository="nankingjings/PoseMamba-weights",
        filename=f"PoseMamba_{size}.bin",
        revision="main",
        licence="Apache-2.0 (code)",
        data_terms="trained on Human3.6M, which its authors license for academic use only",
    )


MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in map(_posemamba, "SBL")})


def locate(name_or_path: str) -> Path:
    """The file of a model on this machine; never touches the network.

    Args:
        name_or_path: a key of ``MODELS``, or a file.

    Raises:
        WeightsError: when there is no such file, or the model has not been downloaded.
    """
    if name_or_path not in MODELS:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise WeightsError(f"no weights {name_or_path!r}: expected a file or one of {', '.join(MODELS)}")
        return path
    try_to_load_from_cache = _hub().try_to_load_from_cache
    model = MODELS[name_or_path]
    found = try_to_load_from_cache(model.repository, model.filename, revision=model.revision)
    if not isinstance(found, str):
        raise WeightsError(f"{model.name} is not on this machine: run `mambapose download {model.name}`")
    return Path(found)


def download(name: str) -> Path:
    """Fetch a model into the cache, showing progress; resumes where an earlier try stopped.

    Raises:
        WeightsError: for an unknown name, or when the hub cannot be reached or lacks the file.
    """
    hf_hub_download = _hub().hf_hub_download
    if name not in MODELS:
        raise WeightsError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    model = MODELS[name]
    try:
        return Path(hf_hub_download(model.repository, model.filename, revision=model.revision))
    except Exception as error:  # the hub's client raises errors of several libraries
        first_line = str(error).strip().partition("\n")[0]
        raise WeightsError(f"cannot download {name} from {model.repository}: {first_line}") from error


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError("huggingface_hub is not installed: pip install huggingface_hub, or give a file") from error
    return huggingface_hub
