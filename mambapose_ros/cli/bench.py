"""Measure the pipeline on this machine: time and memory of its stages, and their ratio to a ViTPose-B in the same run.

The baseline is a pose network of that shape with random weights on one crop of 256x192 pixels: what a frame costs for
each person, without finding them, and without 3D. Everything else sees synthetic people who walk, 640x480. Times are
of one frame, medians over runs that take turns. Memory is the most that is resident, beyond libraries and images, each
in a process of its own. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING

from mambapose_ros.cli.bench_subjects import BASELINE, SUBJECTS, Loaded, Subject, play, record
from mambapose_ros.cli.measurement import Memory, in_fresh_process, machine, peak_memory, timed
from mambapose_ros.cli.output_file import output_file
from mambapose_ros.cli.pipeline_arguments import positive_count
from mambapose_ros.errors import UserError
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.pipeline import PipelineOptions, prepare_torch
from mambapose_ros.version import version
from mambapose_ros.weights import lifter_for

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Effort:
    """How long to measure: so many runs of so many frames each."""

    runs: int
    frames: int


THOROUGH, QUICK = Effort(runs=9, frames=12), Effort(runs=3, frames=3)


@dataclass(frozen=True)
class Row:
    """What one subject takes.

    Attributes:
        people: in the images.
        parameters: of its network; None = not known.
        runs_ms: milliseconds per frame, of each run; then their median and range.
        time_ratio: median over the baseline's.
        memory_mb: most resident memory, beyond libraries; None = the system does not tell.
        gpu_mb: most memory of the GPU; None = it does not run there.
        memory_ratio, gpu_ratio: over the baseline's; None = not known.
    """

    name: str
    people: int
    parameters: int | None
    runs_ms: tuple[float, ...]
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    time_ratio: float
    memory_mb: float | None
    memory_ratio: float | None
    gpu_mb: float | None
    gpu_ratio: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument(
        "--weights",
        default="auto",
        help="the lifter's; auto = mambapose-s on a GPU, mambapose-xs on a CPU (%(default)s)",
    )
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where networks run (%(default)s)")
    parser.add_argument("--threads", type=positive_count, default=1, help="of networks on the CPU (%(default)s)")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="file for the figures")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print the table; returns the exit status."""
    from rich.console import Console

    effort = QUICK if arguments.quick else THOROUGH
    device = prepare_torch(PipelineOptions(device=arguments.device, threads=arguments.threads))
    options = PipelineOptions(device=device, threads=arguments.threads, weights=arguments.weights)
    console = Console(width=max(Console().width, 110))  # narrower, the headings would be cut
    memory = _measure_memory(options, effort, console)
    rows = _rows(_measure_times(list(memory), options, effort, console), memory)
    on = machine(device)
    console.print(_table(rows, f"{on['device']}, {on['threads']} thread(s), PyTorch {on['torch']}"))
    if arguments.json:
        report = {
            "version": version(),
            "machine": on,
            "baseline": BASELINE.name,
            "weights": lifter_for(device, options.weights),
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure_memory(options: PipelineOptions, effort: Effort, console: Console) -> dict[Subject, Memory]:
    """Memory of each subject; one that cannot run here is left out, and why is printed."""
    memory: dict[Subject, Memory] = {}
    for subject in SUBJECTS:
        with console.status(f"memory: {subject.name}, people: {subject.people}"):
            try:
                memory[subject] = in_fresh_process(_memory_of, subject, options, effort.frames)
            except UserError as error:
                if subject is BASELINE:
                    raise
                console.print(f"{subject.name} is left out: {error}", style="dim")
            except BrokenProcessPool as error:
                raise UserError(
                    f"the process that measured {subject.name} was killed; is there memory enough? Close other programs"
                ) from error
    return memory


def _memory_of(subject: Subject, options: PipelineOptions, frames: int) -> Memory:
    """Runs in a process of its own."""
    import torch

    prepare_torch(options)
    with suppress(ImportError):  # loading says what is missing
        for library in subject.libraries:
            import_module(library)
    torch.zeros(1, device=options.device)  # what a GPU sets up for any program
    shots = list(islice(play(record(subject.people)), frames))

    def load_and_process() -> None:
        loaded = subject.load(options)
        for shot in shots:
            loaded.process(shot)

    return peak_memory(load_and_process, options.device)


def _measure_times(
    subjects: Sequence[Subject], options: PipelineOptions, effort: Effort, console: Console
) -> dict[Subject, tuple[Loaded, list[float]]]:
    """Milliseconds per frame in each run of the subjects, which take turns; after one run that does not count."""
    recordings = {people: record(people) for people in {subject.people for subject in subjects}}
    playing = {subject: play(recordings[subject.people]) for subject in subjects}
    measured: dict[Subject, tuple[Loaded, list[float]]] = {subject: (subject.load(options), []) for subject in subjects}
    with console.status("") as status:
        for run_number in range(effort.runs + 1):
            for subject, (loaded, runs_ms) in measured.items():
                status.update(f"time: {subject.name}, people: {subject.people}, run {run_number} of {effort.runs}")
                shots = islice(playing[subject], effort.frames)
                seconds = sum(timed(partial(loaded.process, shot), options.device) for shot in shots)
                if run_number > 0:
                    runs_ms.append(seconds * 1e3 / effort.frames)
    return measured


def _rows(times: dict[Subject, tuple[Loaded, list[float]]], memory: dict[Subject, Memory]) -> list[Row]:
    base_ms = statistics.median(times[BASELINE][1])
    base = memory[BASELINE]
    rows = []
    for subject, (loaded, runs_ms) in times.items():
        used, median_ms = memory[subject], statistics.median(runs_ms)
        rows.append(
            Row(
                name=subject.name,
                people=subject.people,
                parameters=loaded.parameters,
                runs_ms=tuple(runs_ms),
                median_ms=median_ms,
                fastest_ms=min(runs_ms),
                slowest_ms=max(runs_ms),
                time_ratio=median_ms / base_ms,
                memory_mb=used.resident_mb,
                memory_ratio=_ratio(used.resident_mb, base.resident_mb),
                gpu_mb=used.gpu_mb,
                gpu_ratio=_ratio(used.gpu_mb, base.gpu_mb),
            )
        )
    return rows


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _table(rows: Sequence[Row], on: str) -> Table:
    from rich.table import Table

    on_gpu = any(row.gpu_mb is not None for row in rows)
    x = f"x {BASELINE.name}"
    table = Table(title=f"Of one frame, on {on}", caption=f"{BASELINE.name}: for each person; MB: beyond libraries")
    table.add_column("")
    for heading in ("people", "parameters", "ms", "range", x, "MB", x, *(("GPU MB", x) if on_gpu else ())):
        table.add_column(heading, justify="right")
    for row in rows:
        gpu = (_number(row.gpu_mb), _number(row.gpu_ratio)) if on_gpu else ()
        table.add_row(
            row.name,
            str(row.people),
            "?" if row.parameters is None else f"{row.parameters:,}",
            _number(row.median_ms),
            f"{_number(row.fastest_ms)}-{_number(row.slowest_ms)}",
            _number(row.time_ratio),
            _number(row.memory_mb),
            _number(row.memory_ratio),
            *gpu,
        )
    return table


def _number(value: float | None) -> str:
    """Two digits or all before the point."""
    if value is None:
        return "?"
    return f"{value:.0f}" if value >= 10.0 else f"{value:.2g}"
