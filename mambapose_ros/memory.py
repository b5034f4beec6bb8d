"""Memory that a process no longer uses, back to the system.

glibc serves each thread from an arena of its own, and arenas that models leave behind are not given back: a node that
loads and unloads them grows, although nothing is leaked. With other allocators these functions do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
from typing import Any

_M_ARENA_MAX = -8  # malloc.h


def share_one_arena() -> None:
    """Have all threads allocate from one arena; to be called before there are any."""
    if libc := _glibc():
        libc.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return what is free, of the GPU's memory as well."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):  # a GPU that was lost has nothing to give
            torch.cuda.empty_cache()
    if libc := _glibc():
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    """The C library, or None when it is another one."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
