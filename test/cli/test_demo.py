import sys

from mambapose_ros.cli.main import main


def test_without_a_built_ros_package_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mambapose_ros.msg", None)  # as where colcon has not made the messages
    monkeypatch.delitem(sys.modules, "mambapose_ros.nodes.demo", raising=False)
    assert main(["demo", "--seconds", "1"]) == 1
    said = capsys.readouterr().err
    assert "mambapose_ros.msg" in said
    assert "setup.bash" in said
