import os
import subprocess
import sys

import pytest

from mambapose_ros.weights import MODELS

DOCTOR = [sys.executable, "-c", "import sys; from mambapose_ros.cli.main import main; sys.exit(main(['doctor']))"]


def test_models_and_what_a_download_would_add_are_listed(tmp_path):
    """On a machine with empty caches, whose RAFT is damaged."""
    broken = tmp_path / "hub" / "checkpoints" / "raft_small_C_T_V2-01064c6d.pth"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not this")
    machine = {**os.environ, "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "COLUMNS": "250"}
    told = subprocess.run(DOCTOR, cwd="/", env=machine, capture_output=True, text=True, timeout=120, check=True).stdout
    rows = {name: next(line for line in told.splitlines() if f" model {name} " in line) for name in MODELS}
    assert "not here, 21 MB" in rows["raft-large"]
    assert "unusable" in rows["raft-small"]
    assert "damaged" in rows["raft-small"]
    last = told.rstrip().splitlines()[-1]
    assert last.startswith("`mambapose download depth-anything-v2-small vitpose-base-simple")


@pytest.mark.parametrize(
    ("library", "fault"),
    [
        ("torch", "OSError('libcudart.so.12: cannot open shared object file')"),
        ("numpy", "ImportError('libopenblas.so.0: cannot open shared object file')"),
        ("cv2", "ImportError('libGL.so.1: cannot open shared object file')"),
    ],
)
def test_a_library_that_is_broken_is_told(library, fault, tmp_path):
    (tmp_path / f"{library}.py").write_text(f"raise {fault}")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    machine = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "250"}
    told = subprocess.run(DOCTOR, cwd="/", env=machine, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    row = next(line for line in told.stdout.splitlines() if f" {library} " in line and "cannot be used" in line)
    assert "cannot open shared object file" in row
    assert "matplotlib" in told.stdout
