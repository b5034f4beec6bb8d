import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mambapose_ros
from mambapose_ros.geometry import Camera
from mambapose_ros.types import DepthMap, Frame, FrameResult, LiftedFrame, PersonKeypoints, Skeleton3D

PACKAGE = Path(mambapose_ros.__file__).parent
FRAME = Frame(0, "camera", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48))
PERSON = PersonKeypoints(np.zeros((17, 2)), np.ones(17))
RECORDS = [
    FRAME,
    PERSON,
    DepthMap(np.ones((48, 64), np.float32), True, "sensor"),
    Skeleton3D("p1", np.zeros((17, 3)), np.ones(17), "learned"),
    LiftedFrame(0, "camera", FRAME.camera, (PERSON,), ()),
    FrameResult(FRAME, (PERSON,), np.zeros((48, 64, 2), np.float32)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_of_arrays_are_equal_to_themselves_only(record):
    copies = [replace(record, **{name: np.copy(v) for name, v in vars(record).items() if isinstance(v, np.ndarray)})]
    assert record not in copies  # and not "the truth value of an array is ambiguous"
    assert record in [*copies, record]
    assert len({record, *copies}) == 2


def records_of_arrays(path: Path) -> dict[str, str]:
    """Name -> decorator of the dataclasses in a file with a field that is an array."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            fields = [ast.unparse(field.annotation) for field in node.body if isinstance(field, ast.AnnAssign)]
            decorators = [ast.unparse(d) for d in node.decorator_list if "dataclass" in ast.unparse(d)]
            if decorators and any("ndarray" in field for field in fields):
                found[node.name] = decorators[0]
    return found


def test_no_record_has_arrays_compared_by_value():
    files = [PACKAGE / "types.py"]
    for folder in ("evidence", "perception", "training"):
        files += (PACKAGE / folder).rglob("*.py")
    found = {f"{path.name}: {name}": made for path in files for name, made in records_of_arrays(path).items()}
    assert len(found) > 20
    assert [name for name, made in found.items() if "eq=False" not in made] == []
