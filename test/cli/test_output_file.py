import argparse
from pathlib import Path

import pytest

from mambapose_ros.cli.output_file import output_file


def test_a_new_file_and_one_that_is_there_may_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output_file("new.json") == Path("new.json")
    (tmp_path / "old.json").write_text("{}")
    assert output_file(str(tmp_path / "old.json")) == tmp_path / "old.json"


@pytest.mark.parametrize("place", ["nowhere/new.json", "."])
def test_a_folder_and_a_file_in_none_are_refused(tmp_path, place):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a file in a folder that exists"):
        output_file(str(tmp_path / place))
