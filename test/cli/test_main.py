import sys

import pytest

from mambapose_ros.cli.main import COMMANDS, main
from mambapose_ros.version import version


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == version()


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)


def test_doctor_reports_what_is_here(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert version() in said
    assert "mediapipe" in said
    assert "scan backend reference" in said


def test_a_missing_package_is_told_in_a_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "mambapose_ros.perception.lifter", raising=False)
    assert main(["run", "--source", "synthetic", "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "mambapose run: a Python package is missing or cannot be used: import of torch halted" in said
    assert "pip" in said
    assert "Traceback" not in said


def test_a_module_of_our_own_that_is_missing_is_a_bug_and_shown_as_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "mambapose_ros.perception.pipeline", None)
    with pytest.raises(ImportError, match=r"mambapose_ros\.perception\.pipeline"):
        main(["run", "--source", "synthetic"])
