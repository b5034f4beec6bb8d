import pytest

from mambapose_ros.weights import MODELS, advice


def test_one_line_names_the_command_and_what_it_adds(monkeypatch):
    monkeypatch.setattr(advice, "is_here", lambda name: name == "rtdetr-r18")
    line = advice.advice(has_gpu=False)
    assert "`mambapose download raft-small depth-anything-v2-small vitpose-base-simple` (447 MB)" in line
    for gain in ("flow raft_small", "depth depth_anything_v2_small", "detector vitpose", "a GPU would"):
        assert gain in line
    assert "\n" not in line


@pytest.mark.parametrize(("has_gpu", "expected"), [(True, ""), (False, "a GPU would")])
def test_what_is_there_is_not_advised(monkeypatch, has_gpu, expected):
    monkeypatch.setattr(advice, "is_here", lambda name: True)
    assert advice.advice(has_gpu).startswith(expected)
    assert "download" not in advice.advice(has_gpu)


def test_every_model_that_is_advised_exists():
    assert {name for names in advice._GAINS.values() for name in names} <= set(MODELS)
