"""What all tests share: which package is tested, where the shared data is, and a summary of what did not run."""

import os
from collections import Counter
from pathlib import Path

import pytest

import mambapose_ros

ROOT = Path(__file__).resolve().parents[1]


def pytest_report_header(config):
    return f"mambapose_ros from {Path(mambapose_ros.__file__).parent}"


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section("not run on this machine")
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{reason} ({count})")
    if not reasons:
        terminalreporter.line("nothing: every test ran")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden files and data that lies beside a checkout (or where MAMBAPOSE_SHARED says)."""
    folder = Path(os.environ.get("MAMBAPOSE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"golden files and data: expected in {folder} (set MAMBAPOSE_SHARED)")
    return folder
