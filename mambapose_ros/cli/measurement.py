"""Time and memory of a call, and of what machine: for ``mambapose bench`` and the scripts in benchmarks/."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from mambapose_ros.memory import give_back

Result = TypeVar("Result")


@dataclass(frozen=True)
class Memory:
    """MB in use at the worst moment of a call, beyond those before it.

    Attributes:
        resident_mb: of the machine's memory, as Linux counts it; None = it does not tell.
        gpu_mb: of a GPU's, as PyTorch allocates it; None = the call does not use one.
    """

    resident_mb: float | None
    gpu_mb: float | None


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds that a call takes until its result is there."""
    _synchronize(device)
    start = time.perf_counter()
    call()
    _synchronize(device)
    return time.perf_counter() - start


def peak_memory(call: Callable[[], object], device: str) -> Memory:
    """What a call takes. What its libraries set up at their first use counts, unless something has used them before."""
    import torch

    on_gpu = device == "cuda"
    give_back()
    gpu_before = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        gpu_before = torch.cuda.memory_allocated()
    tells = _reset_resident_peak()
    before = _resident_kb("VmRSS") if tells else 0
    call()
    return Memory(
        resident_mb=(_resident_kb("VmHWM") - before) * 1.024e-3 if tells else None,
        gpu_mb=(torch.cuda.max_memory_allocated() - gpu_before) * 1e-6 if on_gpu else None,
    )


def in_fresh_process(function: Callable[..., Result], *arguments: object) -> Result:
    """What a function answers in a process of its own: memory that others left free there would hide what it takes.

    Raises:
        BrokenProcessPool: when that process was killed, as for want of memory.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def machine(device: str) -> dict[str, object]:
    """What figures were taken on."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _synchronize(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _reset_resident_peak() -> bool:
    """Have the peak start again from what is resident now; False where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_kb(field: str) -> int:
    """A figure of /proc/self/status, in units of 1024 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
