"""Latency and peak memory of the PoseMamba lifter: every scan backend against the reference.

    python benchmarks/lifter.py --quick                       a few minutes on two cores
    python benchmarks/lifter.py --variants S --frames 243     a part
    python benchmarks/lifter.py --output lifter.json          everything

All backends of a case run in turn, in this process, on the same weights and windows; a case is
people x frames in one batch. On a GPU the captured CUDA graph is one more row, and Triton's scan
is compared to mamba-ssm's.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mambapose_ros.cli.measurement import machine, peak_memory, timed
from mambapose_ros.models import PRESETS, PoseMamba
from mambapose_ros.ops import scan_backends, selective_scan

PATIENCE = 2.0  # seconds; what takes longer is run once


@dataclasses.dataclass(frozen=True)
class Row:
    """What one backend takes in one case.

    Attributes:
        median_ms: median over the runs; `fastest_ms` and `slowest_ms` are their range.
        speedup: median of the reference over this median.
        memory_mb: most memory in use during a run, beyond what was in use before.
    """

    variant: str
    frames: int
    people: int
    backend: str
    runs: int
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    speedup: float
    memory_mb: float | None


def main() -> None:
    arguments = parse_arguments()
    torch.manual_seed(0)
    console = Console()
    names = [backend.name for backend in usable_backends(arguments, console)]
    rows: list[Row] = []
    for variant, frames, people in itertools.product(arguments.variants, arguments.frames, arguments.people):
        console.print(f"{variant}, {frames} frames, {people} people ...", style="dim")
        rows += run_case(variant, frames, people, names, arguments.device, arguments.runs)
    console.print(table(rows))
    report: dict[str, object] = {
        "machine": machine(arguments.device),
        "lifter": [dataclasses.asdict(row) for row in rows],
    }
    if {"triton", "mamba_ssm"} <= set(names):
        report["scan_ms"] = compare_scans(arguments.frames, arguments.runs)
        console.print(report["scan_ms"])
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
        console.print(f"wrote {arguments.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variants", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--frames", nargs="+", type=int, default=[27, 81, 243])
    parser.add_argument("--people", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--backends", nargs="+", help="default: all that run here")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--quick", action="store_true", help="S; 27 frames of 1 and 4, 243 of 1")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.variants, arguments.frames, arguments.people = ["S"], [27, 243], [1, 4]
    return arguments


def usable_backends(arguments: argparse.Namespace, console: Console) -> list:
    """The backends to run, the reference first; says why the others do not run."""
    wanted = arguments.backends
    usable = []
    for backend in scan_backends():
        if wanted and backend.name not in [*wanted, "reference"]:
            continue
        on_device = backend.available and arguments.device in backend.reason
        console.print(f"{backend.name}: {backend.reason}", style="" if on_device else "dim")
        if on_device:
            usable.append(backend)
    return usable


def run_case(variant: str, frames: int, people: int, names: list[str], device: str, runs: int) -> list[Row]:
    """Runs all backends in turn, `runs` times."""
    reference = PoseMamba(PRESETS[variant]).eval()
    window = torch.rand(people, frames, 17, 2, device=device) - 0.5
    calls: dict[str, Callable[[], object]] = {}
    with torch.inference_mode():
        for name in names:
            config = dataclasses.replace(PRESETS[variant], scan_backend=name)
            model = PoseMamba(config).eval()
            model.load_state_dict(reference.state_dict())
            model.to(device)
            calls[name] = lambda model=model: model(window)
            if device == "cuda" and name == "triton":
                calls["triton, CUDA graph"] = capture(calls[name])
        memory = {name: memory_of(call, device) for name, call in calls.items()}  # and warms up
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(runs):
            for name, call in calls.items():
                if not times[name] or times[name][0] < PATIENCE:
                    times[name].append(timed(call, device))
    base = statistics.median(times[names[0]])
    return [
        Row(
            variant,
            frames,
            people,
            name,
            len(seconds),
            statistics.median(seconds) * 1e3,
            min(seconds) * 1e3,
            max(seconds) * 1e3,
            base / statistics.median(seconds),
            memory[name],
        )
        for name, seconds in times.items()
    ]


def capture(call: Callable[[], object]) -> Callable[[], object]:
    """A call that replays the CUDA graph of another."""
    call()  # compiles the kernels, which a capture must not
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def memory_of(call: Callable[[], object], device: str) -> float | None:
    """MB that a call takes of the memory of what it runs on, once its libraries are set up; None where unknown."""
    call()
    memory = peak_memory(call, device)
    return memory.gpu_mb if device == "cuda" else memory.resident_mb


def compare_scans(frames: list[int], runs: int) -> list[dict[str, object]]:
    """Milliseconds of Triton's and mamba-ssm's scan for the lifter's shapes, one window."""
    results: list[dict[str, object]] = []
    for width, count in itertools.product((64, 128), frames):
        channels, length = 8 * width, 17 * count  # four directions of twice the width
        u, delta = torch.randn(2, 1, channels, length, device="cuda").unbind()
        B, C = torch.randn(2, 1, 4, 16, length, device="cuda").unbind()
        A, D = -torch.rand(channels, 16, device="cuda"), torch.ones(channels, device="cuda")
        row: dict[str, object] = {"width": width, "frames": count}
        for backend in ("triton", "mamba_ssm"):
            scan = functools.partial(selective_scan, u, delta, A, B, C, D, delta_softplus=True, backend=backend)
            with torch.inference_mode():
                replay = capture(scan)
                replay()
                row[backend] = statistics.median(timed(replay, "cuda") for _ in range(runs)) * 1e3
        results.append(row)
    return results


def table(rows: list[Row]) -> Table:
    result = Table(title="PoseMamba: latency of a batch, and its ratio to the reference")
    for column in ("variant", "frames", "people", "backend", "median ms", "range ms", "x", "MB"):
        result.add_column(column, justify="left" if column in ("variant", "backend") else "right")
    for row in rows:
        result.add_row(
            row.variant,
            str(row.frames),
            str(row.people),
            row.backend,
            f"{row.median_ms:.1f}",
            f"{row.fastest_ms:.1f}-{row.slowest_ms:.1f}",
            f"{row.speedup:.1f}",
            "?" if row.memory_mb is None else f"{row.memory_mb:.0f}",
        )
    return result


if __name__ == "__main__":
    main()
