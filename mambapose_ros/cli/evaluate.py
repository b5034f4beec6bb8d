"""Score the lifter on motion capture seen by random cameras: one row per kind of evidence."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WINDOWS = (27, 81)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, help="folder of .npz motion capture")
    parser.add_argument("--split", default="val", help="which of its splits (%(default)s)")
    parser.add_argument("--weights", required=True, help="file that `mambapose train` wrote")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--stride", type=int, default=27, help="frames between windows (%(default)s)")
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS, help="frames per window (27 81)")


def run(arguments: argparse.Namespace) -> int:
    """Score and print the table; returns the exit status."""
    from rich.console import Console
    from rich.progress import Progress

    from mambapose_ros.models.mambapose import load_mambapose
    from mambapose_ros.training.evaluate import EVIDENCE_KINDS, evaluate
    from mambapose_ros.training.mocap import load_folder, select_split

    model = load_mambapose(arguments.weights)
    sequences = select_split(load_folder(arguments.data), arguments.split)
    results = {}
    with Progress() as progress:
        for frames in arguments.windows:
            task = progress.add_task(f"windows of {frames} frames, {len(EVIDENCE_KINDS)} kinds of evidence", total=None)
            advance = partial(progress.advance, task)
            results[str(frames)] = evaluate(model, sequences, frames, stride=arguments.stride, advance=advance)
            progress.remove_task(task)
    for frames, table in results.items():
        Console().print(_table(frames, table))
    if arguments.json:
        content = {"split": arguments.split, "stride": arguments.stride, "windows": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def _table(frames: str, figures: dict[str, dict[str, float]]) -> Table:
    from rich.table import Table

    table = Table("", *figures, title=f"T = {frames}, newest frame; mm, mm per frame (^2), shares")
    for name in next(iter(figures.values())):
        values = [row[name] for row in figures.values()]
        table.add_row(name, *(f"{value:.3f}" if value < 1.0 else f"{value:.1f}" for value in values))
    return table
