import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from interrupts import interrupt_lifting, lose_gpu
from tiny_lifter import WINDOW, save_tiny_lifter

from mambapose_ros import sources
from mambapose_ros.cli.main import main
from mambapose_ros.sources import SourceError, open_source

DEPTH = "depth_anything_v2_small"


@pytest.fixture(scope="module")
def lifter(tmp_path_factory):
    path = save_tiny_lifter(tmp_path_factory.mktemp("weights") / "tiny.safetensors")
    return ["--weights", str(path), "--window", str(WINDOW)]


@pytest.mark.parametrize("lookahead", ["0", "4"])
def test_a_synthetic_run_leaves_its_files(lifter, lookahead, tmp_path, capsys):
    arguments = ["run", "--source", "synthetic:wave", "--seconds", "1", "--output", str(tmp_path)]
    assert main([*arguments, *lifter, "--lookahead", lookahead]) == 0
    assert "30 frames" in capsys.readouterr().out
    written = np.load(tmp_path / "skeletons.npz")
    assert set(written["id"]) == {"p1"}
    assert written["frame"].tolist() == list(range(30))
    assert np.isfinite(written["joints"]).all()  # of the last frames too, which a lifter that looks ahead owes
    assert np.isfinite(written["velocity"][1:]).all()
    assert (written["deviation"][:, 1:] > 0).all()
    assert (tmp_path / "annotated.mp4").stat().st_size > 10_000
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["source"] == "synthetic:wave"
    assert not summary["intrinsics_assumed"]
    assert summary["rows_with_joints"] == 30
    assert summary["scale_sources"] == ["learned"]
    assert set(summary["stage_ms_median"]) == {"keypoints", "flow", "tracker", "lifter"}


def test_without_arguments_a_run_lifts(tmp_path):
    assert main(["run", "--source", "synthetic:wave", "--seconds", "1", "--output", str(tmp_path)]) == 0
    assert np.isfinite(np.load(tmp_path / "skeletons.npz")["joints"]).all()


class Frames(list):
    """A source that somebody else made."""

    rate = 30.0
    live = False

    def close(self) -> None:
        pass


def test_where_stamps_jump_what_is_owed_is_written(lifter, tmp_path, monkeypatch):
    """The pipeline starts anew, and a lifter that looks ahead still owes the frames before."""
    whole = list(itertools.islice(open_source("synthetic:wave"), 12))
    late = [replace(f, frame=replace(f.frame, stamp_ns=f.frame.stamp_ns + 5_000_000_000)) for f in whole[6:]]
    monkeypatch.setattr(sources, "open_source", lambda name, options: Frames([*whole[:6], *late]))
    arguments = ["run", "--source", "synthetic:wave", "--output", str(tmp_path), "--detector", "ground_truth"]
    assert main([*arguments, *lifter, "--lookahead", "4"]) == 0
    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == list(range(12))
    assert np.isfinite(written["joints"]).all()


def test_an_interrupt_while_a_frame_is_lifted_loses_nothing(lifter, tmp_path, monkeypatch, capsys):
    interrupt_lifting(monkeypatch, at=7)
    arguments = ["run", "--source", "synthetic:wave", "--output", str(tmp_path), "--detector", "ground_truth"]
    assert main([*arguments, *lifter, "--lookahead", "4"]) == 0
    assert "7 frames" in capsys.readouterr().out
    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == list(range(7))
    lifted = np.isfinite(written["joints"]).all(axis=(1, 2))
    assert np.flatnonzero(lifted).tolist() == list(range(7))  # number 3, which was at work, too


def test_a_gpu_that_is_lost_is_told_with_what_to_do(lifter, tmp_path, monkeypatch, capsys):
    lose_gpu(monkeypatch, at=5)
    arguments = ["run", "--source", "synthetic:wave", "--output", str(tmp_path), "--detector", "ground_truth"]
    assert main([*arguments, *lifter, "--lookahead", "0"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mambapose run: the GPU failed: CUDA error: unspecified launch failure. Give --device cpu")
    assert "Traceback" not in said
    assert np.load(tmp_path / "skeletons.npz")["frame"].tolist() == list(range(5))


def test_seconds_are_those_of_the_stamps(lifter, tmp_path, monkeypatch):
    """As of a webcam that gives ten images a second, whatever it says."""
    whole = list(itertools.islice(open_source("synthetic:wave"), 30))
    slow = [replace(f, frame=replace(f.frame, stamp_ns=3 * f.frame.stamp_ns)) for f in whole]
    monkeypatch.setattr(sources, "open_source", lambda name, options: Frames(slow))
    arguments = ["run", "--source", "synthetic:wave", "--output", str(tmp_path), "--detector", "ground_truth"]
    assert main([*arguments, *lifter, "--seconds", "0.95"]) == 0
    assert np.load(tmp_path / "skeletons.npz")["frame"].tolist() == list(range(10))


def test_a_source_that_fails_is_told_after_what_is_owed_is_written(lifter, tmp_path, monkeypatch, capsys):
    class Unplugged(Frames):
        def __iter__(self):
            yield from super().__iter__()
            raise SourceError("the webcam stopped giving images")

    frames = Unplugged(itertools.islice(open_source("synthetic:wave"), 8))
    monkeypatch.setattr(sources, "open_source", lambda name, options: frames)
    arguments = ["run", "--source", "synthetic:wave", "--output", str(tmp_path), "--detector", "ground_truth"]
    assert main([*arguments, *lifter, "--lookahead", "4"]) == 1
    assert f"stopped giving images; {tmp_path}/ holds what was found up to there" in capsys.readouterr().err
    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == list(range(8))
    assert np.isfinite(written["joints"]).all()


def test_true_keypoints_are_lifted_and_come_out_as_they_are(lifter, tmp_path):
    arguments = ["run", "--source", "synthetic:wave", "--seconds", "0.5", "--output", str(tmp_path)]
    assert main([*arguments, *lifter, "--detector", "ground_truth", "--flow", "off"]) == 0
    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == list(range(15))
    assert np.isfinite(written["joints"]).all()
    for row, source_frame in enumerate(itertools.islice(open_source("synthetic:wave"), 15)):
        np.testing.assert_allclose(written["keypoints"][row, :, :2], source_frame.truth.keypoints[0], atol=1e-3)
    assert json.loads((tmp_path / "summary.json").read_text())["options"]["detector"] == "ground_truth"


def test_a_real_video(shared, tmp_path):
    video = shared / "data" / "video" / "street_walk.mp4"
    assert main(["run", "--source", str(video), "--seconds", "2", "--output", str(tmp_path), "--weights", ""]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 60
    assert summary["frames_with_people"] > 40
    assert summary["intrinsics_assumed"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "nowhere.mp4"], "expected a video file"),
        (["--source", "walk.mp4", "--detector", "ground_truth"], "expected a synthetic source"),
        (["--source", "synthetic", "--flow", "raft_small", "--flow-weights", "nowhere.pth"], "nowhere.pth"),
        (["--source", "synthetic", "--depth", DEPTH, "--depth-weights", "nowhere"], "nowhere"),
        (["--source", "synthetic", "--detector", "vitpose", "--detector-weights", "nowhere"], "nowhere"),
        (["--source", "synthetic", "--camera-info", "nowhere.yaml"], "nowhere.yaml"),
        (["--source", "synthetic", "--output", "/dev/null/folder", "--weights", ""], "choose another output"),
        (["--source", "synthetic", "--weights", "nowhere.bin"], "expected a file"),
    ],
)
def test_mistakes_are_answered_in_a_line(arguments, expected, tmp_path, capsys):
    assert main(["run", "--seconds", "1", "--output", str(tmp_path), *arguments]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seconds", "0"),
        ("--seconds", "-1"),
        ("--seconds", "nan"),
        ("--max-people", "0"),
        ("--detector", "magic"),
        ("--flow", "magic"),
        ("--depth", "sensor"),
        ("--detector", "external"),
        ("--flow-width", "0"),
        ("--flow-updates", "-1"),
    ],
)
def test_impossible_values_are_refused(option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--source", "synthetic", option, value])
    assert ended.value.code == 2
    assert re.search("expected|choose from", capsys.readouterr().err)
