import math

import pytest
import torch

from mambapose_ros.models.mambapose import MambaPose, MambaPoseConfig
from mambapose_ros.training import calibration
from mambapose_ros.training.evaluate import EVIDENCE_KINDS, evaluate
from mambapose_ros.training.mocap import load_folder, select_split


@pytest.fixture(scope="module")
def sequences(shared):
    return select_split(load_folder(shared / "data" / "mocap"), "val")[:6]


@pytest.fixture
def model() -> MambaPose:
    """A random network that takes its errors to be a centimetre: far too little."""
    torch.manual_seed(0)
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=27)).eval()
    with torch.no_grad():
        model.head[1].bias[3] = math.log(0.01)
    return model


def coverage(model, sequences) -> dict[str, float]:
    """Shares of errors inside the intervals, on the windows of the calibration."""
    rows = evaluate(model, sequences, 27, stride=calibration._STRIDE)
    return {kind: row["coverage_90"] for kind, row in rows.items()}


@pytest.mark.parametrize("kind", EVIDENCE_KINDS, ids=lambda kind: kind.name)
def test_nine_errors_in_ten_of_a_kind_lie_inside_after_its_own_factor(sequences, model, kind):
    assert coverage(model, sequences)[kind.name] < 0.5
    factor = calibration._factor(model, sequences, kind, 27)
    assert factor > 2.0
    with torch.no_grad():
        model.head[1].bias[3] += math.log(factor)
    assert coverage(model, sequences)[kind.name] == pytest.approx(0.9, abs=0.01)


def test_one_factor_lies_halfway_between_those_of_all_kinds(sequences, model):
    before = evaluate(model, sequences, 27, stride=243)
    own = [calibration._factor(model, sequences, kind, 27) for kind in EVIDENCE_KINDS]
    assert calibration.calibrate(model, sequences) == pytest.approx(math.sqrt(min(own) * max(own)))
    after = evaluate(model, sequences, 27, stride=243)
    assert [row["mpjpe"] for row in after.values()] == [row["mpjpe"] for row in before.values()]
    shares = coverage(model, sequences).values()
    assert min(shares) <= 0.9 <= max(shares)
    assert calibration.calibrate(model, sequences) == pytest.approx(1.0, abs=1e-3)


def test_windows_of_81_frames_count_where_the_network_takes_them(sequences):
    torch.manual_seed(0)
    model = MambaPose(MambaPoseConfig(width=16, depth=1, window=81)).eval()
    own = [calibration._factor(model, sequences, kind, frames) for kind in EVIDENCE_KINDS for frames in (27, 81)]
    assert calibration.calibrate(model, sequences) == pytest.approx(math.sqrt(min(own) * max(own)))
