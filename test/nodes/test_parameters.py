"""What the README says of parameters is what the nodes declare."""

import re
from pathlib import Path

import pytest

from mambapose_ros.nodes import pose_node, source_node

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def table_of(node: str) -> dict[str, str]:
    """Parameter -> default, of the README's table for a node."""
    section = README.split(f"\n`{node}`:\n\n| parameter")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*) \|", section, re.MULTILINE)
    return {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize(("name", "node"), [("pose_node", pose_node), ("source_node", source_node)])
def test_readme_lists_every_parameter_with_its_default(name, node):
    def shown(value) -> str:
        return "(empty)" if value == "" else str(value).lower() if isinstance(value, bool) else str(value)

    assert table_of(name) == {spec.name: shown(spec.default) for spec in node.PARAMETERS}


@pytest.mark.parametrize("node", [pose_node, source_node])
def test_every_parameter_is_described(node):
    assert all(len(spec.description) > 10 for spec in node.PARAMETERS)
