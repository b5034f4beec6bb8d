"""Files that are no state dict, or a bad one; what the readers of each network make of one is tested with them."""

import os

import numpy as np
import pytest
import torch

from mambapose_ros.errors import UserError
from mambapose_ros.weights import WeightsError
from mambapose_ros.weights.state_dict import read_state_dict


def read(path, **options):
    return read_state_dict(path, "a network", "get another", **options)


def test_tensors_and_plain_values_are_read(tmp_path):
    torch.save({"weight": torch.arange(3.0), "epoch": 7}, path := tmp_path / "state.pth")
    state = read(path)
    assert state["weight"].tolist() == [0.0, 1.0, 2.0]
    assert state["epoch"] == 7


@pytest.mark.parametrize(("content", "kind"), [(b"\x80\x02.", IndexError), (b"\x80\x02h\x00.", KeyError)])
def test_errors_of_every_kind_are_told_in_a_line(content, kind, tmp_path):
    (path := tmp_path / "state.pth").write_bytes(content)
    expected = r"state\.pth: expected a network, but it cannot be read \(.+\); nothing in it was run; get another$"
    with pytest.raises(WeightsError, match=expected) as told:
        read(path)
    assert type(told.value.__cause__) is kind


def test_an_error_without_a_message_is_told_by_its_kind(tmp_path, monkeypatch):
    def load(*_, **__):
        raise AssertionError

    monkeypatch.setattr(torch, "load", load)
    (path := tmp_path / "state.pth").write_bytes(b"anything")
    with pytest.raises(WeightsError, match=r"it cannot be read \(AssertionError\); nothing"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"<html>not found</html>", bytes(300)])
def test_other_files_are_refused(content, tmp_path):
    (path := tmp_path / "state.pth").write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"state\.pth: expected a network, but it .*nothing in it was run.*get another$"
    ):
        read(path)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(
        WeightsError, match=r"nothing\.pth: expected a network, but there is no such file; get another$"
    ):
        read(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="but it is a directory; get another"):
        read(tmp_path)


class Malicious:
    """Creates a folder when unpickled."""

    def __init__(self, victim) -> None:
        self._victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self._victim),)


def test_other_objects_are_refused_and_not_run(tmp_path):
    torch.save({"weight": Malicious(victim := tmp_path / "victim")}, path := tmp_path / "state.pth")
    with pytest.raises(
        WeightsError, match=r"asks for Python objects other than tensors .* not be loaded another way"
    ) as told:
        read(path)
    assert "weights_only" not in str(told.value)  # as torch advises
    assert not victim.exists()


def test_a_caller_allows_types_and_chooses_the_error(tmp_path):
    class OwnError(UserError):
        pass

    torch.save({"loss": np.float64(2.5)}, path := tmp_path / "state.pth")
    with pytest.raises(OwnError, match="should not be loaded another way"):
        read(path, refusal=OwnError)
    scalar = np.float64(0).__reduce__()[0]
    assert read(path, types=[scalar, np.dtype, type(np.dtype(np.float64))])["loss"] == 2.5
