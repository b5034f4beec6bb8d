import math

import pytest
import torch

from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig
from mambapose_ros.training.calibration import calibrate
from mambapose_ros.training.evaluate import evaluate
from mambapose_ros.training.mocap import load_folder, select_split


@pytest.fixture(scope="module")
def sequences(shared):
    return select_split(load_folder(shared / "data" / "mocap"), "val")[:6]


@pytest.mark.parametrize("window", [27, 81])
def test_about_nine_errors_in_ten_lie_inside_afterwards(sequences, window):
    torch.manual_seed(0)
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=window)).eval()
    with torch.no_grad():
        model.head[1].bias[3] = math.log(0.01)
    before = evaluate(model, sequences, 27, stride=243)
    factor = calibrate(model, sequences)
    after = evaluate(model, sequences, 27, stride=243)
    assert factor > 2.0  # a random network is off by far more than a centimetre
    assert all(row["coverage_90"] < 0.5 for row in before.values())
    coverage = [row["coverage_90"] for row in after.values()]
    assert all(0.8 < share < 0.98 for share in coverage)  # one factor serves all kinds and lengths
    assert sum(coverage) / len(coverage) == pytest.approx(0.9, abs=0.05)
    assert [row["mpjpe"] for row in after.values()] == [row["mpjpe"] for row in before.values()]
    assert calibrate(model, sequences) == pytest.approx(1.0, abs=1e-3)
