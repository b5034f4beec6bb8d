"""Training of MambaPose on motion capture seen by random cameras."""

from __future__ import annotations

import copy
import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from mambapose_ros.errors import UserError, first_line
from mambapose_ros.models.mambapose import (
    MAMBAPOSE_PRESETS,
    MambaPose,
    PoseEstimate,
    laplace_loss,
    load_mambapose,
    read_recipe,
    save_mambapose,
)
from mambapose_ros.models.pose_mamba import PoseMambaBlock
from mambapose_ros.training.calibration import calibrate
from mambapose_ros.training.cuda_graphs import GraphedStep
from mambapose_ros.training.deepening import deepen
from mambapose_ros.training.mocap import load_folder, select_split
from mambapose_ros.training.widening import widen
from mambapose_ros.training.windows import SamplerConfig, WindowSampler

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "mambapose.safetensors"
CURVES = "curves.csv"

_NEWEST_EXTRA, _NEWEST_FRAMES = 3.0, 4.0  # robots use the newest frames most: weight 1 + 3 exp(-frames back / 4)
_LOG_EVERY = 50  # steps


@dataclass(frozen=True)
class TrainOptions:
    """A training run; the same options and data, with a budget of steps, give the same weights on the same machine.

    Attributes:
        data: folder of motion capture, .npz or .bvh, of which the split "train" is used.
        output: folder for checkpoint, weights and curves.
        size: a key of ``MAMBAPOSE_PRESETS``.
        init: file of weights to begin with, of that size, of half its width or of fewer blocks; "" = random ones.
        steps: optimisation steps; 0 = as many as ``minutes`` allow.
        minutes: wall-clock budget; 0 = none. The learning rate reaches its end with whichever budget ends first.
        frames: fewest and most frames of a window (``window_lengths``).
        batch_frames: frames per step, so that long windows come in smaller batches.
        learning_rate, weight_decay: of both optimizers (``make_optimizers``).
        ema: decay of the moving average of weights, which is what ships.
        velocity_weight: of the error of joint velocities, against that of positions.
        seed: of everything random.
        workers: processes that make windows; 0 = none but the training one.
        device: "cpu" or "cuda".
    """

    data: str
    output: str
    size: str = "XS"
    init: str = ""
    steps: int = 0
    minutes: float = 0.0
    frames: tuple[int, int] = (9, 81)
    batch_frames: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    ema: float = 0.999
    velocity_weight: float = 3.0
    seed: int = 0
    workers: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.size not in MAMBAPOSE_PRESETS:
            raise UserError(f"expected size to be one of {', '.join(MAMBAPOSE_PRESETS)}, got {self.size!r}")
        if not 0.0 <= self.minutes < math.inf:
            raise UserError(f"expected minutes of 0 (no limit) or more, got {self.minutes}")
        if self.steps <= 0 and self.minutes <= 0:
            raise UserError("expected a budget, got none: give steps, minutes, or both")
        if not 0.0 < self.learning_rate < math.inf:
            raise UserError(f"expected a learning rate above 0 (3e-3 is usual), got {self.learning_rate}")
        if self.seed < 0:
            raise UserError(f"expected a seed of 0 or more, got {self.seed}")
        window = MAMBAPOSE_PRESETS[self.size].window
        if not 2 <= self.frames[0] <= self.frames[1] <= window:
            raise UserError(f"expected windows of 2 to {window} frames, fewest first, got {self.frames}")


def train(
    options: TrainOptions, *, resume: bool = False, report: Callable[[str, float], None] = lambda line, share: None
) -> Path:
    """Train, or go on with a run that was stopped; returns the file of weights.

    Under ``torchrun``, every process works on its own share of each step and the first one writes the files.

    Args:
        options: of the run.
        resume: continue from the checkpoint in ``options.output``.
        report: is given a line, and the share of the budget that is spent, every so many steps.

    Raises:
        UserError: when there is no such data, nothing to resume, or an earlier run that would be overwritten, or when
            weights to begin with are of another size.
        CheckpointError: when weights to begin with cannot be read.
    """
    checkpoint = Path(options.output) / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise UserError(
            f"expected an output folder without an earlier run, which would be overwritten, found {checkpoint}: use "
            "--resume to go on with that run, or give another folder"
        )
    run = _Run(options)
    if resume:
        run.load()
    batches = run.batches()
    while run.spend() < 1.0:
        run.step(*next(batches))
        if run.steps_done % _LOG_EVERY == 0:
            report(run.log(), run.progress)
    return run.finish()


def training_loss(estimate: PoseEstimate, target: Tensor, velocity_weight: float) -> tuple[Tensor, Tensor]:
    """The loss, and the weighted mean error of joints in metres; the pelvis, which is the origin, is left out of both,
    but for velocities, whose mean is over all 17 joints and all steps alike.

    Positions learn from their error and the error of their velocity, as in VideoPose3D (Pavllo et al., CVPR 2019);
    scales learn from the likelihood of the errors that remain, without moving the positions.

    Args:
        estimate: of the network.
        target: metres from the pelvis, `[batch x frames x 17 x 3]`.
        velocity_weight: of the velocities' error.
    """
    frames = target.shape[1]
    back = torch.arange(frames - 1, -1, -1, device=target.device)
    weight = 1.0 + _NEWEST_EXTRA * torch.exp(-back / _NEWEST_FRAMES)
    weight = weight / weight.sum()
    error = torch.linalg.vector_norm(estimate.positions - target, dim=-1)[..., 1:]
    position = (error.mean((0, 2)) * weight).sum()
    velocity = torch.linalg.vector_norm(estimate.positions.diff(dim=1) - target.diff(dim=1), dim=-1).mean()
    settled = PoseEstimate(estimate.positions.detach(), estimate.log_scale)
    likelihood = (laplace_loss(settled, target)[..., 1:].mean((0, 2)) * weight).sum()
    # Scales share the trunk; a small share keeps them from shaping it.
    return position + velocity_weight * velocity + 0.01 * likelihood, position.detach()


def window_lengths(fewest: int, most: int) -> np.ndarray:
    """Nine lengths of windows, evenly spaced in their logarithm: few enough for a CUDA graph each."""
    return np.geomspace(fewest, most, 9).round().astype(int)


class _Windows(IterableDataset):
    """Endless training windows, another stream in every process."""

    def __init__(self, options: TrainOptions, rank: int, first_step: int) -> None:
        self._options, self._rank, self._first_step = options, rank, first_step
        self._sequences = select_split(load_folder(options.data), "train")

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        seed = [self._options.seed, self._first_step, self._rank, worker.id if worker else 0]
        rng = np.random.default_rng(seed)
        sampler = WindowSampler(self._sequences, SamplerConfig(), seed=int(rng.integers(2**63)))
        lengths = window_lengths(*self._options.frames)
        while True:
            frames = int(rng.choice(lengths))
            batch = sampler.batch(max(1, self._options.batch_frames // frames), frames)
            yield torch.from_numpy(batch.evidence), torch.from_numpy(batch.target)


class _Run:
    """What changes during training."""

    def __init__(self, options: TrainOptions) -> None:
        self._options = options
        self._rank = _join_processes(options.device)
        torch.manual_seed(options.seed)
        self._device = _device(options.device, self._rank)
        self.model = _initial_model(options).to(self._device)
        self._begun_with = read_recipe(options.init) if options.init else ""  # now: the file may be gone at the end
        self._parallel: nn.Module = self.model
        if distributed.is_initialized():
            self._parallel = DistributedDataParallel(self.model)
        self._ema = copy.deepcopy(self.model)
        self._average = get_ema_multi_avg_fn(options.ema)
        as_graphs = self._device.type == "cuda" and not distributed.is_initialized()
        self._advance: Callable[[Tensor, Tensor], Tensor] = GraphedStep(self._work) if as_graphs else self._work
        self._optimizers = make_optimizers(self.model, options.learning_rate, options.weight_decay, as_graphs)
        self._factor = torch.ones((), device=self._device)  # of the learning rate
        self.steps_done = 0
        self.progress = 0.0
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._recent: list[Tensor] = []
        self._curves: list[dict[str, float]] = []
        self._output = Path(options.output)
        self._output.mkdir(parents=True, exist_ok=True)

    @property
    def seconds(self) -> float:
        """Spent so far, in all sessions of this run."""
        return self._seconds_before + time.monotonic() - self._started

    def spend(self) -> float:
        """Note the share of the budget that is spent, 1 = the end; the first process's clock is everybody's, or some
        would end before the others."""
        by_steps = self.steps_done / self._options.steps if self._options.steps > 0 else 0.0
        by_time = self.seconds / (60.0 * self._options.minutes) if self._options.minutes > 0 else 0.0
        self.progress = max(by_steps, by_time)
        if distributed.is_initialized():
            spent = torch.tensor(self.progress, dtype=torch.float64, device=self._device)
            distributed.broadcast(spent, 0)
            self.progress = spent.item()
        return self.progress

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Evidence and targets, without end."""
        windows = _Windows(self._options, self._rank, self.steps_done)
        pinned = self._device.type == "cuda"  # so that a batch can go there while it works
        return iter(DataLoader(windows, batch_size=None, num_workers=self._options.workers, pin_memory=pinned))

    def step(self, evidence: Tensor, target: Tensor) -> None:
        """One step of optimisation."""
        self._factor.fill_(learning_rate_factor(self.progress, self.steps_done))
        self._recent.append(self._advance(evidence, target))  # unread, since a GPU would have to be waited for
        self.steps_done += 1

    def _work(self, evidence: Tensor, target: Tensor) -> Tensor:
        """What a step computes; returns loss and error."""
        evidence, target = (tensor.to(self._device, non_blocking=True) for tensor in (evidence, target))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            estimate = self._parallel(evidence)
        loss, error = training_loss(estimate, target, self._options.velocity_weight)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        step_optimizers(self._optimizers, self._factor)
        self._average(list(self._ema.parameters()), list(self.model.parameters()), None)
        return torch.stack([loss.detach(), error])

    def log(self) -> str:
        """Note the last steps' figures, save everything, and return a line about it."""
        loss, error = torch.stack(self._recent).mean(0).tolist()
        self._recent.clear()
        row = {"step": self.steps_done, "seconds": self.seconds, "loss": loss, "error_mm": error * 1e3}
        self._curves.append(row)
        if self._rank == 0:
            self.save()
        return f"step {self.steps_done}  loss {loss:.4f}  error {row['error_mm']:.1f} mm"

    def save(self) -> None:
        """Write the checkpoint and the curves, so that a stop costs at most a few steps."""
        state = {
            "model": self.model.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "steps_done": self.steps_done,
            "seconds": self.seconds,
            "curves": self._curves,
            "size": self._options.size,
            "begun_with": self._begun_with,
        }
        partial = self._output / f"{CHECKPOINT}.part"
        torch.save(state, partial)
        partial.replace(self._output / CHECKPOINT)
        with open(self._output / CURVES, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", "seconds", "loss", "error_mm"])
            writer.writeheader()
            writer.writerows(self._curves)

    def load(self) -> None:
        """Go on where the checkpoint was written.

        Raises:
            UserError: when there is none, or it is of another size or version.
        """
        path = self._output / CHECKPOINT
        if not path.is_file():
            raise UserError(f"nothing to resume: expected {path}, which a run that was stopped leaves")
        state = torch.load(path, map_location=self._device, weights_only=True)
        if state["size"] != self._options.size:
            raise UserError(f"{path} is of size {state['size']}, expected {self._options.size}")
        try:
            self._restore(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(
                f"{path}: expected a checkpoint of this version of `mambapose train`, got {first_line(error)}: begin "
                "anew in another folder"
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            # How it steps follows from this run's options and device.
            optimizer.load_state_dict({**saved, "param_groups": optimizer.state_dict()["param_groups"]})
        self.steps_done, self._seconds_before = state["steps_done"], state["seconds"]
        self._curves = state["curves"]
        self._begun_with = state["begun_with"]

    def finish(self) -> Path:
        """Write weights and curves; returns the file of weights."""
        path = self._output / WEIGHTS
        if self._rank == 0:
            if self._recent:
                self.log()
            recipe = {**asdict(self._options), "steps_done": self.steps_done, "seconds": round(self.seconds)}
            for private in ("data", "output"):  # paths of the machine that trained
                recipe.pop(private)
            recipe["init"] = _parsed(self._begun_with)
            recipe["processes"] = distributed.get_world_size() if distributed.is_initialized() else 1
            shipped = MambaPose(self.model.config).to(self._device).eval()
            shipped.load_state_dict(self._ema.state_dict())
            recipe["calibration"] = calibrate(shipped, select_split(load_folder(self._options.data), "train"))
            save_mambapose(shipped, path, recipe=json.dumps(recipe))
            plot_curves(self._curves, self._output / "curves.png")
        if distributed.is_initialized():
            distributed.destroy_process_group()
        return path


def _initial_model(options: TrainOptions) -> MambaPose:
    """The network that training begins with.

    Raises:
        CheckpointError: ``options.init`` is no file of weights.
        UserError: its network is neither of the shape of ``options.size`` nor of half its width or fewer blocks.
    """
    config = MAMBAPOSE_PRESETS[options.size]
    if not options.init:
        return MambaPose(config)
    given = load_mambapose(options.init)
    narrow = 2 * given.config.width == config.width
    shallow = given.config.depth < config.depth
    expected = replace(
        config, width=config.width // (1 + narrow), depth=given.config.depth if shallow else config.depth
    )
    if replace(given.config, drop_path=config.drop_path) != expected:
        raise UserError(
            f"{options.init}: expected a network of size {options.size}, {config}, or of half its width, or of fewer "
            f"blocks, got {given.config}"
        )
    wide = widen(given, torch.Generator().manual_seed(options.seed)) if narrow else given
    model = MambaPose(config)
    model.load_state_dict((deepen(wide, config.depth) if shallow else wide).state_dict())
    return model


def _parsed(recipe: str) -> object:
    """A recipe as what it says, so that recipes in recipes stay readable; as it is, when somebody else wrote it."""
    try:
        return json.loads(recipe)
    except ValueError:
        return recipe


def make_optimizers(
    model: nn.Module, learning_rate: float, weight_decay: float, capturable: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of linear layers inside the blocks, AdamW for everything else.

    Orthogonalised steps (Jordan et al., Muon, 2024), scaled to the size of AdamW's (Liu et al., arXiv 2502.16982):
    after a trial of 300 steps the error was 175 mm, and 181 mm with AdamW alone. CUDA graphs need ``capturable``.
    """
    blocks = [module for module in model.modules() if isinstance(module, PoseMambaBlock)]
    matrices = [layer.weight for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear)]
    others = set(model.parameters()) - set(matrices)
    in_order = [parameter for parameter in model.parameters() if parameter in others]
    adamw = torch.optim.AdamW(in_order, learning_rate, weight_decay=weight_decay, capturable=capturable)
    if not matrices:  # as in a network of another kind, to compare with
        return [adamw]
    return [torch.optim.Muon(matrices, learning_rate, weight_decay, adjust_lr_fn="match_rms_adamw"), adamw]


@torch.no_grad()
def step_optimizers(optimizers: Sequence[torch.optim.Optimizer], factor: Tensor) -> None:
    """A step of optimizers at ``factor``, a scalar, of their learning rate: in AdamW and Muon, what is added to a
    parameter is proportional to it. A learning rate would be frozen in a CUDA graph, since Muon wants a number."""
    parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    before = [parameter.clone() for parameter in parameters]
    for optimizer in optimizers:
        optimizer.step()
    for parameter, start in zip(parameters, before, strict=True):
        parameter.lerp_(start, 1.0 - factor)


def learning_rate_factor(progress: float, step: int) -> float:
    """Linear warm-up over 200 steps, then half a cosine to 1 % at the end of the budget."""
    warm = min(1.0, (step + 1) / 200)
    return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))))


def plot_curves(curves: list[dict[str, float]], path: Path) -> None:
    """A picture of the mean error over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot([row["step"] for row in curves], [row["error_mm"] for row in curves])
    axes.set(xlabel="step", ylabel="mean joint error, mm", yscale="log", title="training")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def _join_processes(device: str) -> int:
    """This process's number under torchrun; 0 alone."""
    if not distributed.is_torchelastic_launched():
        return 0
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    return distributed.get_rank()


def _device(name: str, rank: int) -> torch.device:
    if name == "cuda":
        device = torch.device("cuda", rank % max(torch.cuda.device_count(), 1))
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")  # what is left in float32 beside bfloat16
        return device
    return torch.device(name)
