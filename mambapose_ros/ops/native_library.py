"""The compiled CPU kernels (mambapose_ros/native): finding the library, and calling it.

The library is plain C: tensors go in as pointers, so one build serves every version of torch.
"""

import ctypes
import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

_PATH_VARIABLE = "MAMBAPOSE_SCAN_LIBRARY"

BLOCK = 16
"""The kernels take channels and states by this many, whatever the width of the vectors they were compiled for."""


def _arguments(name: str, tensors: str, sizes: str, numbers: str = "") -> type[ctypes.Structure]:
    """The structure of the same name in native/selective_scan.h, field by field."""
    fields: list[tuple[str, type]] = [(field, ctypes.c_void_p) for field in tensors.split()]
    fields += [(field, ctypes.c_int64) for field in sizes.split()]
    fields += [(field, ctypes.c_float) for field in numbers.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_KERNELS = {
    "scan": _arguments("Scan", "u delta A B C y", "batch length groups channels states"),
    "scan_gradient": _arguments(
        "ScanGradient",
        "u delta A B C dy du ddelta dA dB dC",
        "batch length groups channels states",
    ),
    "convolution": _arguments("Convolution", "x weight bias neighbours y", "batch frames joints channels row"),
    "cross_scan": _arguments(
        "CrossScan",
        "u projected orders dt_weight dt_bias A D y",
        "batch length channels states rank directions sources",
    ),
    "cross_scan_gradient": _arguments(
        "CrossScanGradient",
        "u projected orders dt_weight dt_bias A D dy du dprojected ddt_weight ddt_bias dA dD",
        "batch length channels states rank directions sources",
    ),
    "gate": _arguments("Gate", "y z weight bias out", "tokens channels row", "epsilon"),
}


def find_library() -> Path:
    """The file that MAMBAPOSE_SCAN_LIBRARY names, else the one beside this file.

    Raises:
        OSError: there is none.
    """
    if named := os.environ.get(_PATH_VARIABLE):
        return Path(named)
    folder = Path(__file__).parent
    for path in sorted(folder.glob("_selective_scan*.so")):
        return path
    raise OSError(
        f"no compiled library _selective_scan*.so in {folder}; build the package with a C++ "
        f"compiler (make build), or name the library in {_PATH_VARIABLE}"
    )


@cache
def load() -> ctypes.CDLL:
    """The library of ``find_library``.

    torch is imported before, so the library shares torch's OpenMP threads. From now on the process
    keeps up to 128 MiB of freed memory, which spares a forward pass thousands of page faults.

    Raises:
        OSError: there is no library, or it does not load here; the message says which.
    """
    library = ctypes.CDLL(str(find_library()))
    library.mambapose_instruction_set.restype = ctypes.c_char_p
    for name, arguments in _KERNELS.items():
        kernel = getattr(library, f"mambapose_{name}")
        kernel.argtypes, kernel.restype = (ctypes.POINTER(arguments), ctypes.c_int), None
    library.mambapose_keep_freed_memory()
    return library


def call(kernel: str, **arguments: Tensor | int | float) -> None:
    """Runs a kernel of native/selective_scan.h with torch's number of threads.

    Args:
        kernel: name of the kernel.
        arguments: the fields of its structure; tensors in the layout stated there.
    """
    fields = {name: value.data_ptr() if isinstance(value, Tensor) else value for name, value in arguments.items()}
    function = getattr(load(), f"mambapose_{kernel}")
    function(_KERNELS[kernel](**fields), torch.get_num_threads())
