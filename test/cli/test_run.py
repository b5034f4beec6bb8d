import json

import numpy as np
import pytest

from mambapose_ros.cli.main import main


def test_a_synthetic_run_leaves_its_files(tmp_path, capsys):
    arguments = ["run", "--source", "synthetic:wave", "--seconds", "1", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert "30 frames" in capsys.readouterr().out
    written = np.load(tmp_path / "skeletons.npz")
    assert set(written["id"]) == {"p1"}
    assert written["frame"].tolist() == list(range(30))
    assert (tmp_path / "annotated.mp4").stat().st_size > 10_000
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["source"] == "synthetic:wave"
    assert not summary["intrinsics_assumed"]


def test_a_real_video(shared, tmp_path):
    video = shared / "data" / "video" / "street_walk.mp4"
    assert main(["run", "--source", str(video), "--seconds", "2", "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 60
    assert summary["frames_with_people"] > 40
    assert summary["intrinsics_assumed"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "nowhere.mp4"], "expected a video file"),
        (["--source", "synthetic", "--detector", "magic"], "mediapipe"),
        (["--source", "synthetic", "--flow", "magic"], "dis"),
        (["--source", "synthetic", "--camera-info", "nowhere.yaml"], "nowhere.yaml"),
        (["--source", "synthetic", "--output", "/dev/null/folder"], "choose another output"),
        (["--source", "synthetic", "--weights", "nowhere.bin"], "expected a file or one of"),
    ],
)
def test_mistakes_are_answered_in_a_line(arguments, expected, tmp_path, capsys):
    assert main(["run", "--seconds", "1", "--output", str(tmp_path), *arguments]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value"), [("--seconds", "0"), ("--seconds", "-1"), ("--seconds", "nan"), ("--max-people", "0")]
)
def test_impossible_numbers_are_refused(option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--source", "synthetic", option, value])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
