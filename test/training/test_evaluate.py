import json
from collections import Counter

import numpy as np
import pytest

from mambapose_ros.cli.main import main
from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig, save_mambapose
from mambapose_ros.training.evaluate import EVIDENCE_KINDS, SUBJECT_FIGURES, evaluate, subject_figure
from mambapose_ros.training.mocap import load_folder, select_split
from mambapose_ros.training.windows import evaluation_subjects


@pytest.fixture(scope="module")
def sequences(shared):
    return select_split(load_folder(shared / "data" / "mocap"), "val")[:2]


def test_every_kind_of_evidence_is_scored_and_again_the_same(sequences):
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=27)).eval()
    table = evaluate(model, sequences, 27, stride=300)
    assert list(table) == [kind.name for kind in EVIDENCE_KINDS]
    for figures in table.values():
        assert all(np.isfinite(value) for value in figures.values())
        assert figures["pa_mpjpe"] <= figures["n_mpjpe"] <= figures["mpjpe"]
        assert figures["mpjpe"] == figures["mpjpe_lookahead_0"]
        assert 0.0 <= figures["coverage_90"] <= 1.0
    assert evaluate(model, sequences, 27, stride=300) == table


def test_people_are_also_scored_one_by_one(walkers):
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=27)).eval()
    windows = Counter(evaluation_subjects(walkers, 27, 9))
    for figures in evaluate(model, walkers, 27, stride=9).values():
        for name in SUBJECT_FIGURES:
            several = [count * figures[subject_figure(name, subject)] for subject, count in windows.items()]
            assert figures[name] == pytest.approx(sum(several) / windows.total(), rel=1e-6)
        assert figures[subject_figure("mpjpe", "short")] != figures[subject_figure("mpjpe", "long")]


def test_the_command_writes_its_table(shared, tmp_path, capsys):
    weights, figures = tmp_path / "weights.safetensors", tmp_path / "figures.json"
    save_mambapose(MambaPose(MambaPoseConfig(width=16, depth=1, window=9)), weights)
    data = str(shared / "data" / "mocap")
    picture = tmp_path / "figures.png"
    arguments = ["--data", data, "--weights", str(weights), "--json", str(figures), "--stride", "3000"]
    assert main(["evaluate", *arguments, "--plot", str(picture), "--windows", "9"]) == 0
    averaged = json.loads(figures.read_text())
    assert set(averaged["windows"]["9"]) == {kind.name for kind in EVIDENCE_KINDS}
    printed = capsys.readouterr().out
    assert "PA-MPJPE" in printed
    assert "CMU014 (" in printed
    assert main(["evaluate", *arguments, "--no-flip-average", "--windows", "9"]) == 0
    alone = json.loads(figures.read_text())
    assert (averaged["flip_average"], alone["flip_average"]) == (True, False)
    for kind in EVIDENCE_KINDS:  # of a random network, two different answers are better than one
        assert averaged["windows"]["9"][kind.name]["mpjpe"] < alone["windows"]["9"][kind.name]["mpjpe"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_answered_in_a_line(tmp_path, capsys):
    assert main(["evaluate", "--data", str(tmp_path), "--weights", str(tmp_path / "nowhere.safetensors")]) == 1
    assert "no weights" in capsys.readouterr().err
