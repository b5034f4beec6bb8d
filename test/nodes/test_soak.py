"""A few loops of benchmarks/soak.py, which does an hour."""

import json
import subprocess
import sys
from pathlib import Path

from tiny_lifter import WINDOW, save_tiny_lifter

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def test_every_loop_of_a_recording_is_noticed_and_no_id_comes_again(tmp_path):
    report, weights = tmp_path / "soak.json", save_tiny_lifter(tmp_path / "tiny.safetensors")
    arguments = ["--seconds", "8", "--loop", "1", "--fps", "5", "--json", str(report)]
    arguments += ["--weights", str(weights), "--window", str(WINDOW)]
    arguments += ["--most-growth", "0.5"]  # so early, caches still fill
    done = subprocess.run([sys.executable, str(SOAK), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert len(figures["ids"]) == 8
    assert all(figures["ids"])  # somebody was seen in each
    names = [name for loop in figures["ids"] for name in loop]
    assert len(set(names)) == len(names)
    assert figures["results"] >= 0.9 * figures["images"]
    assert not figures["crashed"]
    assert all(figures["skeletons"])
    assert all(figures["markers"])
