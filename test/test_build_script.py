"""What `make build` says on machines that lack something."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "dirname", "grep", "mkdir", "uname", "awk", "cat", "df", "find", "rm", "sha256sum", "sort", "xargs")


@pytest.fixture
def bare(tmp_path):
    """A checkout without a build, and a PATH with nothing but the basic tools."""
    checkout, tools = tmp_path / "checkout", tmp_path / "bin"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, checkout)
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    return checkout, tools


def add_tool(tools: Path, name: str, script: str) -> None:
    (tools / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
    (tools / name).chmod(0o755)


def build(bare, **variables: str) -> str:
    """Run the script, which must fail; returns the one line that it says."""
    checkout, tools = bare
    script = [str(checkout / "scripts" / "build.sh")]
    environment = {"PATH": str(tools), "HOME": os.environ.get("HOME", "/"), **variables}
    ended = subprocess.run(["bash", *script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stdout
    (line,) = ended.stderr.strip().splitlines()
    return line


def test_a_missing_compiler_is_named(bare):
    assert "apt-get install g++" in build(bare)


def test_a_missing_python_is_named(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    assert "no Python of version 3.10, 3.11 or 3.12" in build(bare)


def test_a_python_that_has_no_wheels_is_named(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    add_tool(bare[1], "python3", "echo 3.14")
    assert "python3 is 3.14" in build(bare)


def test_a_python_that_is_none_is_named(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    assert "PYTHON=nowhere is not a Python" in build(bare, PYTHON="nowhere")


def test_a_full_disk_is_named(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    add_tool(bare[1], "python3.11", "echo 3.11")
    (bare[1] / "df").unlink()
    add_tool(bare[1], "df", "echo header; echo /dev/sda 100 90 1048576 90% /")
    assert "GiB of free disk needed" in build(bare)


def test_another_processor_is_told_to_use_ros(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    (bare[1] / "uname").unlink()
    add_tool(bare[1], "uname", "echo Linux aarch64")
    assert "source a ROS 2 installation" in build(bare)


def test_an_environment_of_another_ros_is_kept(bare):
    for name in ("c++", "make"):
        add_tool(bare[1], name, "true")
    add_tool(bare[1], "python3.11", "echo 3.11")
    environment = bare[0] / ".venv"
    environment.mkdir()
    (environment / ".built-from").write_text("humble /usr/bin/python3.10 3.10.12 /robot/mambapose_ros\n")
    line = build(bare)
    assert "built with ROS 2 humble, and this shell has no ROS" in line
    assert "make clean" in line
    assert environment.exists()
