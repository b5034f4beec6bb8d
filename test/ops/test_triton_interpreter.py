"""The Triton kernels on a machine without a GPU: the tests of the kernels, through the interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.skipif(find_spec("triton") is None, reason="the package triton is not installed")
def test_triton_passes_the_tests_of_its_kernels() -> None:
    # The interpreter is chosen when triton is imported, hence another process.
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-k",
            "triton",
            *(
                str(Path(__file__).with_name(name))
                for name in ("test_scan.py", "test_cross_scan.py", "test_layer_norm.py")
            ),
        ],
        env=os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-4000:]
