import re
import sys

import pytest

from mambapose_ros.cli.main import main


@pytest.mark.parametrize("option", ["--stride", "--windows"])
def test_numbers_below_one_are_refused(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--data", "anywhere", option, "0"])
    assert ended.value.code == 2
    assert "expected 1 or more" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_scored(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--data", "anywhere", "--json", str(tmp_path / "nowhere" / "scores.json")])
    assert ended.value.code == 2
    assert "expected a file in a folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere"], "nowhere, found none"),
        (["--data", "nowhere", "--windows", "27", "999"], "expected windows of 3 to 243 frames, got 999"),
        (["--data", "nowhere", "--windows", "27", "2"], "expected windows of 3 to 243 frames, got 2"),
        (["--data", "nowhere", "--weights", "nowhere"], "no weights 'nowhere'"),
    ],
)
def test_mistakes_are_answered_in_a_line(arguments, expected, capsys):
    assert main(["evaluate", *arguments]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said


def test_a_picture_without_matplotlib_is_refused_before_anything_is_scored(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["evaluate", "--data", "nowhere", "--plot", str(tmp_path / "figures.png")]) == 1
    assert "pip install matplotlib, or leave --plot out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["figures.txt", "figures"])
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_scored(name, tmp_path, capsys):
    assert main(["evaluate", "--data", "nowhere", "--plot", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert re.search(r"mambapose evaluate: --plot: expected a file that ends in .*\.eps, .*\.png, ", said)
    assert said.rstrip().endswith(f"got {tmp_path / name}")


@pytest.mark.parametrize("name", ["figures.png", "figures.PDF"])
def test_pictures_that_matplotlib_writes_are_not_refused(name, tmp_path, capsys):
    assert main(["evaluate", "--data", "nowhere", "--plot", str(tmp_path / name)]) == 1
    assert "nowhere, found none" in capsys.readouterr().err
