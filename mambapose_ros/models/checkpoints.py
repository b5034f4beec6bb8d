"""Released PoseMamba checkpoints: safe loading, and a full account of what does not fit."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mambapose_ros.errors import UserError
from mambapose_ros.models.pose_mamba import PoseMamba, PoseMambaConfig
from mambapose_ros.weights.state_dict import read_state_dict

# A checkpoint's `min_loss` is a numpy scalar; these types rebuild one and can do nothing else.
# numpy 2 renamed the module, so files name it either way.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_SCALAR_TYPES: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
]

# Our parameter names begin with, and the published ones begin with.
_TRUNK_NAMES = {
    "trunk.embed.": "Spatial_patch_to_embedding.",
    "trunk.spatial_embedding": "Spatial_pos_embed",
    "trunk.temporal_embedding": "Temporal_pos_embed",
    "trunk.spatial_norm.": "Spatial_norm.",
    "trunk.temporal_norm.": "Temporal_norm.",
    "trunk.spatial_blocks.": "STEblocks.",
    "trunk.temporal_blocks.": "TTEblocks.",
}
# The same inside a block.
_BLOCK_NAMES = {
    "mixer_norm.": "norm.",
    "mlp_norm.": "norm2.",
    "mlp.0.": "mlp.fc1.",
    "mlp.2.": "mlp.fc2.",
    "mixer.x_proj": "op.x_proj_weight",
    "mixer.dt_proj": "op.dt_projs_weight",
    "mixer.dt_bias": "op.dt_projs_bias",
    "mixer.A_log": "op.A_logs",
    "mixer.D": "op.Ds",
    "mixer.conv.": "op.conv2d.",
    "mixer.": "op.",
}


class CheckpointError(UserError, ValueError):
    """A checkpoint cannot be used; the message names the file, the cause and what to do."""


def load_official_checkpoint(path: str | PathLike[str], scan_backend: str = "auto") -> PoseMamba:
    """Loads a checkpoint of the published PoseMamba code without running anything in it.

    Such a file is a dict whose `model_pos` holds the parameters, their names with or without
    `module.` in front. Width, depth and window follow from the shapes of the parameters.

    Args:
        path: the file, for example `PoseMamba_S.bin`.
        scan_backend: `backend` of `mambapose_ros.ops.selective_scan`.

    Returns:
        The network in eval mode on the CPU, `[batch x frames x 17 x 2]` (see
        `normalize_keypoints`) to `[batch x frames x 17 x 3]`.

    Raises:
        CheckpointError: the file is missing, truncated or no such checkpoint, contains anything
            but tensors and plain values, or its parameters do not fit PoseMamba; then the
            message lists every difference.
    """
    path = Path(path)
    checkpoint = read_state_dict(
        path,
        "a PoseMamba checkpoint",
        "get the file from its publisher again",
        types=_NUMPY_SCALAR_TYPES,
        refusal=CheckpointError,
    )
    parameters = _parameters(path, checkpoint)
    model = PoseMamba(_infer_config(path, parameters, scan_backend))
    names = {name: _published_name(name) for name in model.state_dict()}
    expected = {names[name]: tensor for name, tensor in model.state_dict().items()}
    if differences := _differences(expected, parameters):
        raise CheckpointError(
            f"{path}: these parameters do not fit PoseMamba with width {model.config.width}, depth "
            f"{model.config.depth} and window {model.config.window}; use a checkpoint of the "
            "published network:\n  " + "\n  ".join(differences)
        )
    model.load_state_dict({name: parameters[published] for name, published in names.items()})
    return model.eval()


def _parameters(path: Path, checkpoint: object) -> dict[str, Tensor]:
    """The parameters under their published names, without `module.`."""
    model = checkpoint.get("model_pos") if isinstance(checkpoint, dict) else None
    if not isinstance(model, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in model.items()
    ):
        found = (
            f"a dict with the keys {sorted(map(str, checkpoint))}"
            if isinstance(checkpoint, dict)
            else f"a {type(checkpoint).__name__}"
        )
        raise CheckpointError(
            f"{path}: expected a dict whose 'model_pos' maps names to tensors, found {found}; "
            "use a checkpoint of the published PoseMamba code"
        )
    return {name.removeprefix("module."): value for name, value in model.items()}


def _infer_config(path: Path, parameters: Mapping[str, Tensor], scan_backend: str) -> PoseMambaConfig:
    embedding = parameters.get("Temporal_pos_embed")
    depth = len({name.split(".")[1] for name in parameters if name.startswith("STEblocks.")})
    if embedding is None or embedding.ndim != 3 or depth == 0:
        raise CheckpointError(
            f"{path}: expected PoseMamba's Temporal_pos_embed [1 x window x width] and STEblocks, "
            f"found the parameters {sorted(parameters)[:8]} and {max(0, len(parameters) - 8)} "
            "more; use a checkpoint of the published network"
        )
    _, window, width = embedding.shape
    return PoseMambaConfig(window=window, width=width, depth=depth, scan_backend=scan_backend)


def _published_name(name: str) -> str:
    prefix = next((prefix for prefix in _TRUNK_NAMES if name.startswith(prefix)), None)
    if prefix is None:
        return name  # the head's names agree
    published, rest = _TRUNK_NAMES[prefix], name.removeprefix(prefix)
    if "_blocks." not in prefix:
        return published + rest
    block, _, rest = rest.partition(".")
    inner = next(inner for inner in _BLOCK_NAMES if rest.startswith(inner))
    return f"{published}{block}.{_BLOCK_NAMES[inner]}{rest.removeprefix(inner)}"


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [f"missing: {name}" for name in expected if name not in found]
    unexpected = [f"unexpected: {name}" for name in found if name not in expected]
    shapes = [
        f"{name}: expected {list(tensor.shape)}, found {list(found[name].shape)}"
        for name, tensor in expected.items()
        if name in found and tensor.shape != found[name].shape
    ]
    return missing + unexpected + shapes
