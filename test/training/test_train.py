import csv
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mambapose_ros.errors import UserError
from mambapose_ros.evidence import NUM_CHANNELS
from mambapose_ros.models.mambapose import (
    INTERVAL_90,
    MAMBAPOSE_PRESETS,
    MambaPose,
    PoseEstimate,
    laplace_loss,
    load_mambapose,
    read_recipe,
    save_mambapose,
)
from mambapose_ros.training import calibration
from mambapose_ros.training.train import (
    TrainOptions,
    learning_rate_factor,
    make_optimizers,
    step_optimizers,
    train,
    training_loss,
    window_lengths,
)

NEXT_TO_NOTHING = 1e-60
"""A learning rate that is allowed, and below what float32 can change a weight by."""


@pytest.fixture(autouse=True)
def short_calibration(monkeypatch):
    """On a few windows: how well it works is tested elsewhere."""
    monkeypatch.setattr(calibration, "_STRIDE", 20_000)
    monkeypatch.setattr(calibration, "_WINDOWS", (9,))


@pytest.fixture(autouse=True)
def one_thread():
    """Steps this small are slower on two, and much slower on two busy ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def options_of(tmp_path, shared, **changes) -> TrainOptions:
    """A run of seconds: few, short windows."""
    data = str(shared / "data" / "mocap")
    given = {"data": data, "output": str(tmp_path), "steps": 2, "frames": (9, 9), "batch_frames": 36, "workers": 0}
    return TrainOptions(**{**given, **changes})


def test_a_short_training_lowers_the_error_by_a_quarter(tmp_path, shared):
    lines = []
    options = options_of(tmp_path, shared, steps=200, learning_rate=3e-3, ema=0.9)
    weights = train(options, report=lambda line, share: lines.append(share))
    with open(tmp_path / "curves.csv", encoding="utf-8") as file:
        errors = [float(row["error_mm"]) for row in csv.DictReader(file)]
    assert len(errors) == 4
    assert errors[-1] < 0.75 * errors[0]
    assert lines[-1] == pytest.approx(1.0, abs=0.01)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    model = load_mambapose(weights)
    assert not model.training
    with safe_open(weights, framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["steps_done"] == 200
    assert str(shared) not in json.dumps(recipe)  # no paths of the machine that trained


def test_the_same_seed_gives_the_same_weights(tmp_path, shared):
    files = [train(options_of(tmp_path / name, shared, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    a, b, c = (load_mambapose(file).state_dict() for file in files)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_training_begins_with_given_weights_and_remembers_their_recipe(tmp_path, shared):
    first = train(options_of(tmp_path / "first", shared, seed=3))
    second = train(options_of(tmp_path / "second", shared, init=str(first), learning_rate=NEXT_TO_NOTHING, steps=1))
    before, after = load_mambapose(first).state_dict(), load_mambapose(second).state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert set(changed) <= {"head.1.bias"}  # by the calibration, which finds its own answer once more
    with safe_open(second, framework="pt") as file:
        assert json.loads(file.metadata()["recipe"])["init"]["seed"] == 3
    untold = tmp_path / "untold.safetensors"
    save_mambapose(load_mambapose(first), untold)  # by somebody who keeps no recipe
    run = train(options_of(tmp_path / "fourth", shared, init=str(untold)))
    assert json.loads(read_recipe(run))["init"] == ""
    deeper = tmp_path / "deeper.safetensors"
    save_mambapose(MambaPose(MAMBAPOSE_PRESETS["S"]), deeper)
    with pytest.raises(UserError, match=r"expected a network of size XS.* or of fewer blocks, got .*depth=10"):
        train(options_of(tmp_path / "third", shared, init=str(deeper)))


def test_training_goes_on_with_a_network_of_half_the_width(tmp_path, shared):
    narrow = MambaPose(replace(MAMBAPOSE_PRESETS["XS"], width=MAMBAPOSE_PRESETS["XS"].width // 2)).eval()
    init = tmp_path / "narrow.safetensors"
    save_mambapose(narrow, init)
    wide = load_mambapose(train(options_of(tmp_path, shared, init=str(init), learning_rate=NEXT_TO_NOTHING, steps=1)))
    assert wide.config.width == 2 * narrow.config.width
    evidence = torch.randn(1, 9, 17, NUM_CHANNELS)
    with torch.no_grad():
        torch.testing.assert_close(wide(evidence).positions, narrow(evidence).positions, atol=1e-5, rtol=1e-4)


def test_training_goes_on_with_a_network_of_fewer_blocks(tmp_path, shared):
    """Also when they are of half the width."""
    preset = MAMBAPOSE_PRESETS["XS"]
    for width in (preset.width, preset.width // 2):
        shallow = MambaPose(replace(preset, width=width, depth=1, drop_path=0.3)).eval()
        save_mambapose(shallow, tmp_path / f"{width}.safetensors")
        given = {"init": str(tmp_path / f"{width}.safetensors"), "learning_rate": NEXT_TO_NOTHING}
        trained = load_mambapose(train(options_of(tmp_path / str(width), shared, **given)))
        assert trained.config == preset  # what drops nothing, too
        assert torch.equal(trained.trunk.embed.bias[:width], shallow.trunk.embed.bias)


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.01])
def test_a_step_at_a_factor_is_one_of_that_learning_rate(factor):
    """For both optimizers, also in a second step, which remembers the first."""
    torch.manual_seed(0)
    scaled = MambaPose(replace(MAMBAPOSE_PRESETS["XS"], width=32, depth=1))
    plain = MambaPose(scaled.config)
    plain.load_state_dict(scaled.state_dict())
    of_scaled = make_optimizers(scaled, learning_rate=0.01, weight_decay=0.1)
    of_plain = make_optimizers(plain, learning_rate=0.01 * factor, weight_decay=0.1)
    for _ in range(2):
        for one, other in zip(scaled.parameters(), plain.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        step_optimizers(of_scaled, torch.tensor(factor))
        for optimizer in of_plain:
            optimizer.step()
    for one, other in zip(scaled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-6)


def test_a_stopped_run_goes_on(tmp_path, shared):
    train(options_of(tmp_path, shared, steps=2))
    train(options_of(tmp_path, shared, steps=4), resume=True)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["steps_done"] == 4
    assert [row["step"] for row in state["curves"]] == [2, 4]


def test_a_run_is_not_overwritten_by_another(tmp_path, shared):
    (tmp_path / "checkpoint.pt").write_bytes(b"of an earlier run")
    with pytest.raises(UserError, match=r"found .*checkpoint\.pt: use --resume to go on .* or give another folder"):
        train(options_of(tmp_path, shared))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"of an earlier run"


def test_a_run_that_goes_on_knows_what_it_began_with(tmp_path, shared):
    init, output = tmp_path / "init.safetensors", tmp_path / "out"
    save_mambapose(MambaPose(MAMBAPOSE_PRESETS["XS"]), init, recipe="of a recipe")
    train(options_of(output, shared, init=str(init)))
    weights = train(options_of(output, shared, steps=3), resume=True)
    assert json.loads(read_recipe(weights))["init"] == "of a recipe"


def test_a_run_goes_on_with_the_learning_rate_and_the_device_it_is_given(tmp_path, shared):
    train(options_of(tmp_path, shared))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["optimizers"][1]["param_groups"][0]["capturable"] = True  # as on a GPU
    torch.save(state, tmp_path / "checkpoint.pt")
    before = state["model"]
    train(options_of(tmp_path, shared, steps=3, learning_rate=NEXT_TO_NOTHING), resume=True)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_of_another_version_is_refused_in_a_line(tmp_path, shared):
    train(options_of(tmp_path, shared))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["ema"] = {f"module.{name}": value for name, value in state["ema"].items()}
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match=r"expected a checkpoint of this version .*: begin anew in another folder"):
        train(options_of(tmp_path, shared, steps=3), resume=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and torch finds none")
def test_a_gpu_trains_by_graphs_as_a_cpu_does_and_goes_on(tmp_path, shared):
    given = {"frames": (9, 11), "steps": 60, "learning_rate": 3e-3, "device": "cuda"}
    train(options_of(tmp_path, shared, **given))
    train(options_of(tmp_path, shared, **{**given, "steps": 80}), resume=True)
    with open(tmp_path / "curves.csv", encoding="utf-8") as file:
        errors = [float(row["error_mm"]) for row in csv.DictReader(file)]
    assert errors[-1] < 0.9 * errors[0]


def test_windows_have_nine_lengths():
    assert window_lengths(9, 81).tolist() == [9, 12, 16, 21, 27, 36, 47, 62, 81]
    assert set(window_lengths(9, 9)) == {9}


def test_two_processes_train_one_network(tmp_path, shared):
    """They end together, though each has a clock, and both have taken part."""
    of_two, alone = (options_of(tmp_path / name, shared) for name in ("two", "alone"))
    program = tmp_path / "both.py"
    program.write_text(f"""
from mambapose_ros.training import calibration
from mambapose_ros.training.train import TrainOptions, train
calibration._STRIDE, calibration._WINDOWS = 20_000, (9,)
train({of_two!r})
""")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as both:
        try:
            output, _ = both.communicate(timeout=200)
        finally:
            both.terminate()  # it ends its processes
    assert both.returncode == 0, output
    train(alone)
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("alone", "two"))
    assert one["steps_done"] == two["steps_done"] == 2
    recipes = [json.loads(read_recipe(tmp_path / name / "mambapose.safetensors")) for name in ("alone", "two")]
    assert [recipe["processes"] for recipe in recipes] == [1, 2]
    assert any(not torch.equal(one["model"][name], two["model"][name]) for name in one["model"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": "XXL"}, "XS, S"),
        ({"steps": 0}, "expected a budget"),
        ({"minutes": math.nan}, r"expected minutes of 0 \(no limit\) or more, got nan"),
        ({"minutes": math.inf}, "or more, got inf"),
        ({"minutes": -1.0}, r"or more, got -1\.0"),
        ({"learning_rate": 0.0}, r"expected a learning rate above 0 \(3e-3 is usual\), got 0\.0"),
        ({"learning_rate": math.nan}, "expected a learning rate above 0 .* got nan"),
        ({"seed": -1}, "expected a seed of 0 or more, got -1"),
        ({"frames": (1, 9)}, "2 to 243"),
        ({"frames": (27, 9)}, "fewest first"),
    ],
)
def test_impossible_options_are_refused(tmp_path, shared, changes, expected):
    with pytest.raises(UserError, match=expected):
        options_of(tmp_path, shared, **changes)


def test_nothing_to_resume_is_said(tmp_path, shared):
    with pytest.raises(UserError, match="nothing to resume"):
        train(options_of(tmp_path, shared), resume=True)


def test_the_learning_rate_warms_up_and_ends_low():
    assert learning_rate_factor(0.0, 0) == pytest.approx(1 / 200)
    assert learning_rate_factor(0.0, 199) == pytest.approx(1.0)
    assert learning_rate_factor(1.0, 10_000) == pytest.approx(0.01)


def test_scales_learn_from_the_errors_and_do_not_move_the_poses():
    positions = torch.zeros(2, 5, 17, 3, requires_grad=True)
    log_scale = torch.zeros(2, 5, 17, requires_grad=True)
    target = torch.randn(2, 5, 17, 3, generator=torch.Generator().manual_seed(0))
    loss, error = training_loss(PoseEstimate(positions, log_scale), target, velocity_weight=0.0)
    loss.backward()
    assert error == pytest.approx(torch.linalg.vector_norm(target, dim=-1)[..., 1:].mean().item(), rel=0.1)
    assert (positions.grad[:, :, 0] == 0).all()
    direction = torch.nn.functional.cosine_similarity(positions.grad[:, :, 1:], -target[:, :, 1:], dim=-1)
    assert (direction > 0.999).all()
    assert (log_scale.grad[:, :, 1:] != 0).all()


def test_the_interval_holds_nine_errors_in_ten_of_the_loss_own_distribution():
    rng = np.random.default_rng(0)
    errors = rng.gamma(3.0, 0.02, 100_000)  # lengths of vectors with density ~ exp(-length / scale)
    assert (errors < INTERVAL_90 * 0.02).mean() == pytest.approx(0.9, abs=0.005)
    # And the loss is least at that scale.
    target = torch.zeros(1, 1, len(errors), 3)
    target[0, 0, :, 0] = torch.from_numpy(errors)

    def loss(scale: float) -> float:
        estimate = PoseEstimate(torch.zeros_like(target), torch.full(target.shape[:-1], np.log(scale)))
        return laplace_loss(estimate, target).mean().item()

    assert loss(0.02) < min(loss(0.018), loss(0.022))
