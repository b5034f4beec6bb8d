"""What the launch files make of their arguments; it needs no launch, which has no wheels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mambapose_ros.errors import UserError

PLACEHOLDER = "{camera}"
"""In topics, stands for a camera's name."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")  # of a namespace, in which __ is not allowed


@dataclass(frozen=True)
class CameraArguments:
    """One camera of a launch file.

    Attributes:
        name: below the namespace of the launch; empty = that itself.
        namespace: of the nodes that are this camera's alone, and of all they publish; a relative one lies below
            ``pushed``.
        image, camera_info, depth: topics; relative ones lie below ``namespace``.
        pushed: namespace that launch files around this one have pushed (``PushRosNamespace``).
    """

    name: str
    namespace: str
    image: str
    camera_info: str
    depth: str
    pushed: str = ""

    @property
    def whole_namespace(self) -> str:
        """Where its topics are in the end."""
        return below(self.pushed, self.namespace)

    @property
    def id_prefix(self) -> str:
        """What its people's ids begin with: in TF they meet those of other cameras and robots."""
        return id_prefix(self.whole_namespace)

    def seen_from_above(self, topic: str) -> str:
        """A topic of this camera as a node names it that runs in the namespace of the launch."""
        return topic if topic.startswith("/") or not self.name else f"{self.name}/{topic}"


def id_prefix(namespace: str) -> str:
    """What ids of people begin with in a namespace, such as robot_front_; empty without one."""
    joined = re.sub("_+", "_", namespace.replace("/", "_")).strip("_")
    return f"{joined}_" if joined else ""


def below(pushed: str, namespace: str) -> str:
    """The namespace, below the pushed one unless it is absolute."""
    if namespace.startswith("/"):
        return namespace
    return "/".join(part for part in (pushed.rstrip("/"), namespace) if part)


def cameras_of(given: Mapping[str, str], pushed: str) -> tuple[CameraArguments, ...]:
    """The cameras that are asked for: those in ``cameras``, each in a namespace of that name, or a single one.

    Args:
        given: the arguments cameras, namespace, image_topic, camera_info_topic and depth_topic, by name.
        pushed: as in ``CameraArguments``.

    Raises:
        UserError: for names that are none or not different, and topics that would be the same of several cameras.
    """
    names = [name.strip() for name in given["cameras"].split(",")]
    if names != [""] and (len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names))):
        raise UserError(
            "cameras: expected different names of letters, digits and _, separated by commas, for example front,rear, "
            f"got {given['cameras']!r}"
        )
    for argument in ("image_topic", "camera_info_topic", "depth_topic"):
        topic = given[argument]
        if PLACEHOLDER in topic and names == [""]:
            raise UserError(f"{argument}: {PLACEHOLDER} stands for a name in cameras, and there is none; give cameras")
        if PLACEHOLDER not in topic and topic.startswith("/") and len(names) > 1:
            raise UserError(
                f"{argument}: expected a topic for each of the cameras, for example /{PLACEHOLDER}/image_raw, or one "
                f"below their namespaces, for example image_raw, got {topic!r} for all of them"
            )
    return tuple(_camera(given, name, pushed) for name in names)


def _camera(given: Mapping[str, str], name: str, pushed: str) -> CameraArguments:
    image, info, depth = (
        given[argument].replace(PLACEHOLDER, name) for argument in ("image_topic", "camera_info_topic", "depth_topic")
    )
    folder, slash, _ = image.rpartition("/")
    namespace = "/".join(part for part in (given["namespace"].rstrip("/"), name) if part)
    return CameraArguments(name, namespace, image, info or f"{folder}{slash}camera_info", depth, pushed)


def parameter_file(given: Mapping[str, str]) -> list[str]:
    """The user's own file, if they gave one.

    Raises:
        UserError: when there is none at that place.
    """
    path = given["params_file"]
    if path and not Path(path).is_file():
        raise UserError(f"params_file: expected a YAML file of parameters, found none at {path}")
    return [path] if path else []


def sim_time(given: Mapping[str, str]) -> list[dict[str, bool]]:
    """The parameter, if the argument use_sim_time was given; else files, or the launch files around, may say it."""
    return [{"use_sim_time": given["use_sim_time"] == "true"}] if given["use_sim_time"] else []


def doubts(command_line: Iterable[str], declared: Iterable[str], documentation: Path) -> list[str]:
    """A warning for each argument that is almost one of ours, or a parameter of our nodes.

    Launch would ignore it without a word.

    Only those are doubted: a launch file that includes ours has arguments of its own.

    Args:
        command_line: words of ``name:=value``.
        declared: names of our arguments.
        documentation: file that has all parameters of the nodes.
    """
    known, parameters = sorted(declared), _parameters_in(documentation)
    names = [word.partition(":=")[0] for word in command_line if ":=" in word]
    return [doubt for name in names if name not in known for doubt in _doubts(name, known, parameters)]


def _doubts(name: str, known: list[str], parameters: set[str]) -> list[str]:
    unknown = f"argument {name} is none of this launch file"
    if name in parameters:
        return [f"{unknown}, but a parameter of its nodes: if it is meant for them, put it into a file, as params_file"]
    return [f"{unknown}; did you mean {meant}?" for meant in difflib.get_close_matches(name, known, n=1, cutoff=0.8)]


def _parameters_in(file: Path) -> set[str]:
    nodes = yaml.safe_load(file.read_text(encoding="utf-8"))["/**"].values()
    return {name for node in nodes for name in node["ros__parameters"]}
