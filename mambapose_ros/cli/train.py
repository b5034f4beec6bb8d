"""Train the lifter on motion capture seen by random cameras.

Writes OUTPUT/mambapose.safetensors, and while it runs OUTPUT/checkpoint.pt and curves.csv; at the end curves.png.
`torchrun --nproc-per-node N $(which mambapose) train ...` uses several GPUs or, with `--device cpu`, cores.

DATA holds .npz files, which tell the splits of their sequences, or .bvh files, or both. BVH files may lie in folders;
that right below DATA names the subject, and every fifth subject from the second on, in the order of names, is kept for
`mambapose evaluate` (split "val"). Their unit (metres, centimetres, millimetres, inches, CMU's) and vertical axis (y
or z) are told from the people in them, so all of DATA must have the same.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from mambapose_ros.cli.pipeline_arguments import positive_count
from mambapose_ros.errors import UserError
from mambapose_ros.perception.device import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, metavar="DATA", help="folder of motion capture, .npz or .bvh")
    parser.add_argument("--output", required=True, help="folder for weights, checkpoint and curves; see --resume")
    parser.add_argument("--size", default="XS", help="XS for CPUs, S for GPUs (%(default)s)")
    parser.add_argument(
        "--init",
        default="",
        metavar="FILE",
        help="weights to begin with, of this size, of half its width or of fewer blocks",
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="wall-clock budget; this or --steps is needed")
    parser.add_argument("--steps", type=int, default=0, help="budget of optimisation steps (see --minutes)")
    parser.add_argument("--batch-frames", type=positive_count, default=512, help="frames per step (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="at its highest (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    parser.add_argument("--workers", type=count, default=1, help="processes that make windows (%(default)s)")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to train (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT; without, one is refused")


def count(text: str) -> int:
    """A number of 0 or more, for argparse."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    import torch
    from rich.progress import Progress, TextColumn

    from mambapose_ros.perception.device import resolve_device
    from mambapose_ros.training.train import TrainOptions, train

    if not hasattr(torch.optim, "Muon"):
        raise UserError(
            f"training needs PyTorch 2.9 or newer, whose optimizer Muon it uses, got {torch.__version__}: "
            "pip install --upgrade torch torchvision"
        )
    if find_spec("matplotlib") is None:
        raise UserError("training draws its curves with matplotlib, which is not installed: pip install matplotlib")
    options = TrainOptions(
        data=arguments.data,
        output=arguments.output,
        size=arguments.size,
        init=arguments.init,
        steps=arguments.steps,
        minutes=arguments.minutes,
        batch_frames=arguments.batch_frames,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        workers=arguments.workers,
        device=resolve_device(arguments.device, torch.cuda.is_available()),
    )
    silent = os.environ.get("RANK", "0") != "0"  # of torchrun's processes, the first one speaks
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[line]}"), disable=silent) as progress:
        task = progress.add_task("training", total=1.0, line="")

        def report(line: str, share: float) -> None:
            progress.update(task, completed=share, line=line)
            if not silent and not progress.console.is_terminal:
                progress.console.print(line, soft_wrap=True)

        weights = train(options, resume=arguments.resume, report=report)
    if not silent:
        print(f"wrote {weights} and {Path(arguments.output) / 'curves.png'}")
    return 0
