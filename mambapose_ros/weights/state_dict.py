"""Files of tensors that PyTorch wrote, read without running anything in them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mambapose_ros.errors import UserError, first_line
from mambapose_ros.weights.sources import WeightsError


def read_state_dict(
    path: Path, expected: str, remedy: str, *, types: Sequence[Any] = (), refusal: type[UserError] = WeightsError
) -> Any:
    """What a file of ``torch.save`` holds: tensors, on the CPU, and plain values.

    Args:
        path: the file.
        expected: what it should be, and ``remedy``, what to do when it is not; both for messages.
        types: what else it may hold, as ``torch.serialization.safe_globals`` takes them.
        refusal: the error to raise.

    Raises:
        refusal: when there is no such file, or it is damaged, of another format, or asks for other Python objects.
    """
    import torch

    beginning = f"{path}: expected {expected}, but"
    if path.is_dir() or not path.exists():
        raise refusal(f"{beginning} {'it is a directory' if path.is_dir() else 'there is no such file'}; {remedy}")
    try:
        with torch.serialization.safe_globals(list(types)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose message advises to let the file run what it likes
        raise refusal(
            f"{beginning} it is damaged, or asks for Python objects other than tensors and plain values; nothing in it "
            f"was run, and it should not be loaded another way; {remedy}"
        ) from error
    except Exception as error:  # torch raises errors of many kinds for other files, some without a message
        raise refusal(
            f"{beginning} it cannot be read ({first_line(error)}); nothing in it was run; {remedy}"
        ) from error
