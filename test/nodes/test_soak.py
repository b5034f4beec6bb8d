"""A few loops of benchmarks/soak.py, which does an hour."""

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def test_every_loop_of_a_recording_is_noticed_and_no_id_comes_again(tmp_path):
    report = tmp_path / "soak.json"
    arguments = ["--seconds", "8", "--loop", "1", "--fps", "5", "--weights", "", "--json", str(report)]
    done = subprocess.run([sys.executable, str(SOAK), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert len(figures["ids"]) == 8
    assert all(figures["ids"])  # somebody was seen in each
    names = [name for loop in figures["ids"] for name in loop]
    assert len(set(names)) == len(names)
    assert figures["results"] >= 0.9 * figures["images"]
    assert not figures["crashed"]
