"""What can be said of the launch files without running them: they name only what there is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
TREES = {path.name: ast.parse(path.read_text()) for path in FILES}
every_file = pytest.mark.parametrize("name", TREES)


def calls(tree: ast.AST, function: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def strings(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def declared(name: str) -> dict[str, ast.Call]:
    return {call.args[0].value: call for call in calls(TREES[name], "DeclareLaunchArgument")}


def executables() -> set[str]:
    return set(re.search(r"foreach\(node ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split())


def test_they_are_the_ones_that_the_documentation_names():
    assert set(TREES) == {"mambapose.launch.py", "demo.launch.py", "distributed.launch.py"}


@every_file
def test_every_argument_is_described_and_its_default_is_a_choice(name):
    for argument, call in declared(name).items():
        assert len(keyword(call, "description").value) > 5, argument
        default, choices = keyword(call, "default_value").value, keyword(call, "choices")
        assert isinstance(default, str)
        if choices is not None:
            assert default in strings(choices), argument


@every_file
def test_executables_exist(name):
    for call in calls(TREES[name], "Node"):
        package, executable = keyword(call, "package").value, keyword(call, "executable").value
        assert package == "rviz2" or (package == "mambapose_ros" and executable in executables())


@every_file
def test_only_declared_arguments_are_read(name):
    read = {
        call.args[0].value
        for call in calls(TREES[name], "LaunchConfiguration")
        if call.args[0].__class__ is ast.Constant
    }
    read |= {
        node.slice.value
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Subscript)
        and getattr(node.value, "id", "") == "given"
        and isinstance(node.slice, ast.Constant)
    }
    assert read
    assert read <= set(declared(name))


@pytest.mark.parametrize("name", ["mambapose.launch.py", "distributed.launch.py"])
def test_every_argument_is_used(name):
    functions = [node for node in TREES[name].body if isinstance(node, ast.FunctionDef)]
    helper = ast.parse((ROOT / "mambapose_ros" / "nodes" / "launch_arguments.py").read_text())
    assert set(declared(name)) <= strings(ast.Module(body=functions, type_ignores=[])) | strings(helper)


def test_the_graph_can_be_started_stage_by_stage():
    (stages,) = [node.value for node in TREES["distributed.launch.py"].body if target(node) == "STAGES"]
    assert strings(stages) == {"keypoints", "flow", "depth", "lifter", "markers"}
    default = keyword(declared("distributed.launch.py")["start"], "default_value").value
    assert set(default.split(",")) == strings(stages)
    started = {keyword(call, "executable").value for call in calls(TREES["distributed.launch.py"], "Node")} - {"rviz2"}
    assert started == executables() - {"pose_node", "source_node", "humans_node"}


def target(node: ast.stmt) -> str:
    """The name that a statement gives a value to."""
    return node.targets[0].id if isinstance(node, ast.Assign) else ""


def test_the_demo_gives_the_main_file_only_arguments_that_it_has():
    (include,) = calls(TREES["demo.launch.py"], "IncludeLaunchDescription")
    given = strings(keyword(include, "launch_arguments").func.value)
    assert {"localhost", "namespace"} <= set(declared("mambapose.launch.py"))
    assert given - {"true"} <= set(declared("mambapose.launch.py"))


def test_the_demo_sets_parameters_that_source_node_has():
    from mambapose_ros.nodes.source_node import PARAMETERS

    assert set(declared("demo.launch.py")) - {"namespace"} <= {spec.name for spec in PARAMETERS}


@every_file
def test_files_that_are_named_exist(name):
    body = TREES[name].body[1:]  # without the docstring, which shows a file of the reader's own
    for text in strings(ast.Module(body=body, type_ignores=[])):
        for file in re.findall(r"[\w.]+\.(?:yaml|rviz|xml|launch\.py)\b", text):
            assert (ROOT / "config" / file).is_file() or (ROOT / "launch" / file).is_file(), file


def test_presets_are_the_files_of_that_name():
    choices = strings(keyword(declared("mambapose.launch.py")["preset"], "choices"))
    files = {path.stem for path in (ROOT / "config").glob("*.yaml")}
    assert choices - {"none"} == files - {"mambapose", "distributed"}


def test_remapped_topics_are_topics():
    (pose, _) = calls(TREES["mambapose.launch.py"], "Node")
    topics = {pair.elts[0].value for pair in keyword(pose, "remappings").elts}
    nodes = ROOT / "mambapose_ros" / "nodes"
    sources = [strings(ast.parse((nodes / name).read_text())) for name in ("pose_node.py", "image_node.py")]
    assert topics <= set().union(*sources)
