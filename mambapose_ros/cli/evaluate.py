"""Score the lifter on motion capture seen by random cameras: one row per kind of evidence.

Errors are of the newest frame, in millimetres (per frame, per frame^2), without the pelvis; bones is how much their
lengths vary over a window, inside the share of errors inside the 90 % interval, and "later N" the MPJPE with a
lookahead of N frames. A second table has MPJPE and PA-MPJPE per person. As in `mambapose run`, answers are averaged
over the mirror image; with `--no-flip-average` they are those of pose_node,
on a CPU with `--weights mambapose-xs` too.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mambapose_ros.cli.output_file import output_file
from mambapose_ros.cli.pipeline_arguments import add_flip_average, positive_count
from mambapose_ros.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

WINDOWS = (27, 81)

COLUMNS = {
    "mpjpe": "MPJPE",
    "n_mpjpe": "N-MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "velocity_error": "velocity",
    "acceleration_error": "accel.",
    "bone_variation": "bones",
    "coverage_90": "inside",
    "mpjpe_lookahead_4": "later 4",
    "mpjpe_lookahead_13": "later 13",
}
"""Figure -> heading."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, help="folder of motion capture, see `mambapose train --help`")
    parser.add_argument("--split", default="val", help="which of its splits (%(default)s)")
    parser.add_argument("--weights", default="mambapose-s", help="name, or file of `mambapose train` (%(default)s)")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="file for the figures")
    parser.add_argument("--plot", type=output_file, metavar="FILE", help="picture of the figures, e.g. evaluation.png")
    parser.add_argument("--stride", type=positive_count, default=27, help="frames between windows (%(default)s)")
    parser.add_argument("--windows", type=positive_count, nargs="+", default=WINDOWS, help="frames per window (27 81)")
    add_flip_average(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score and print the table; returns the exit status."""
    from rich.console import Console
    from rich.progress import Progress

    from mambapose_ros.models.mambapose import MirrorAverage, load_mambapose
    from mambapose_ros.training.evaluate import EVIDENCE_KINDS, FEWEST_FRAMES, evaluate, plot
    from mambapose_ros.training.mocap import load_folder, select_split
    from mambapose_ros.training.windows import evaluation_subjects
    from mambapose_ros.weights import locate

    if arguments.plot:
        _check_picture(arguments.plot)
    model = load_mambapose(locate(arguments.weights))
    for frames in arguments.windows:
        if not FEWEST_FRAMES <= frames <= model.config.window:
            raise UserError(f"expected windows of {FEWEST_FRAMES} to {model.config.window} frames, got {frames}")
    sequences = select_split(load_folder(arguments.data), arguments.split)
    lifter = MirrorAverage(model) if arguments.flip_average else model
    results = {}
    with Progress() as progress:
        for frames in arguments.windows:
            task = progress.add_task(f"windows of {frames} frames, {len(EVIDENCE_KINDS)} kinds of evidence", total=None)
            advance = partial(progress.advance, task)
            results[str(frames)] = evaluate(lifter, sequences, frames, stride=arguments.stride, advance=advance)
            progress.remove_task(task)
    console = Console(width=max(Console().width, 110))  # narrower, the headings would be cut
    for frames, table in results.items():
        console.print(_table(frames, table))
        console.print(_subject_table(table, Counter(evaluation_subjects(sequences, int(frames), arguments.stride))))
    if arguments.json:
        content = {
            "split": arguments.split,
            "stride": arguments.stride,
            "flip_average": arguments.flip_average,
            "windows": results,
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(results, arguments.plot)
    return 0


def _check_picture(path: Path) -> None:
    """Raises UserError when matplotlib is not here, or does not write such files."""
    if find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib, which is not installed: pip install matplotlib, or leave --plot out")
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().removeprefix(".") not in kinds:
        raise UserError(f"--plot: expected a file that ends in .{', .'.join(kinds)}, got {path}")


def _table(frames: str, figures: dict[str, dict[str, float]]) -> Table:
    from rich.table import Table

    table = Table("evidence", title=f"T = {frames}, newest frame")
    columns = {name: heading for name, heading in COLUMNS.items() if name in next(iter(figures.values()))}
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for kind, row in figures.items():
        values = [row[name] for name in columns]
        table.add_row(kind, *(f"{value:.3f}" if value < 1.0 else f"{value:.1f}" for value in values))
    return table


def _subject_table(figures: dict[str, dict[str, float]], windows: Counter[str]) -> Table:
    """Per person, with the number of windows that they are in."""
    from rich.table import Table

    from mambapose_ros.training.evaluate import SUBJECT_FIGURES, subject_figure

    table = Table("person (windows)", title="MPJPE / PA-MPJPE of each person")
    for kind in figures:
        table.add_column(kind, justify="right")
    for subject, count in windows.items():
        pairs = [[f"{row[subject_figure(name, subject)]:.1f}" for name in SUBJECT_FIGURES] for row in figures.values()]
        table.add_row(f"{subject} ({count})", *(" / ".join(pair) for pair in pairs))
    return table
