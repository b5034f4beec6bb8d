"""Parameters: declared, described and checked in one place."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mambapose_ros.errors import UserError
from mambapose_ros.nodes import qos


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        name, default: its type is the default's.
        description: one line.
        choices: allowed strings; empty = any.
        range: allowed numbers, both ends included; None = any.
        changeable: it may change while the node runs.
        pattern: regular expression of the whole of allowed strings; empty = any.
        form: what the pattern asks for, in words and with an example.
    """

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = field(default=None)
    changeable: bool = False
    pattern: str = ""
    form: str = ""

    @property
    def _takes_integers(self) -> bool:
        """Whether an integer may stand for the value: text of digits, or a number without a point."""
        return isinstance(self.default, (str, float)) and not self.choices

    @property
    def _takes_false(self) -> bool:
        """Whether false stands for "off": YAML reads the bare word so, in files and on the command line."""
        return "off" in self.choices

    @property
    def expectation(self) -> str:
        """What is expected, with an example."""
        kind = Parameter.Type.from_parameter_value(self.default).name.lower()
        if self.choices:
            return f"expected one of {', '.join(self.choices)}, for example {self.default}"
        if self.form:
            return f"expected {self.form}"
        if self.range is not None:
            return (
                f"expected a value of type {kind} from {self.range[0]} to {self.range[1]}, for example {self.default}"
            )
        return f"expected a value of type {kind}, for example {self.default!r}"

    def check(self, value: Any) -> Any:
        """The value, as the type it is meant to have.

        Raises:
            ParameterError: when it is of another type, out of range, not among the choices or of another form.
        """
        if self._takes_integers and type(value) is int:
            value = type(self.default)(value)
        if self._takes_false and value is False:
            value = "off"
        allowed = type(value) is type(self.default) and (not self.choices or value in self.choices)
        allowed = allowed and (not self.pattern or re.fullmatch(self.pattern, value) is not None)
        if not allowed or (self.range is not None and not self.range[0] <= value <= self.range[1]):
            raise ParameterError(f"parameter {self.name}: got {value!r}; {self.expectation}")
        return value

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows, and rclpy enforces."""
        descriptor = ParameterDescriptor(name=self.name, description=self.description, read_only=not self.changeable)
        # The value is checked here instead: `rate:=10` and `source:=0` are meant as 10.0 and "0", and rclpy refuses
        # another type without saying of which parameter, and which it should be.
        descriptor.dynamic_typing = self._takes_integers or self._takes_false or self.changeable
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if self.range is not None and isinstance(self.default, int):
            low, high = (int(limit) for limit in self.range)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        elif self.range is not None:
            low, high = self.range
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        return descriptor


class ParameterError(UserError):
    """A parameter with a value that is not allowed; the message says which are."""


def declare_parameters(node: Node, specs: tuple[ParameterSpec, ...]) -> dict[str, Any]:
    """Declare all; returns their values.

    A value given for a name that no parameter has is warned of.

    Raises:
        ParameterError: when a value given at start is of another type, out of range or not among the choices.
    """
    values = {spec.name: _declare(node, spec) for spec in specs}
    for warning in _unknown(node):
        node.get_logger().warning(warning)
    return values


def _declare(node: Node, spec: ParameterSpec) -> Any:
    try:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
    except Exception as error:  # rclpy raises several unrelated types here
        raise ParameterError(f"parameter {spec.name}: {error}; {spec.expectation}") from error
    return spec.check(value)


def _unknown(node: Node) -> list[str]:
    """What is wrong with values given at start for names that the node does not declare.

    rclpy keeps them for a later declaration and says nothing, so that a misspelt name has no effect.
    """
    given = getattr(node, "_parameter_overrides", {})  # not public; without it, nobody is warned
    # Whether the node has the topic of a QoS override is not asked: some inputs open late or never, and a file for all
    # nodes (/**) rightly names topics of others. A name of another form has no effect on any node of this package.
    unknown = [name for name in given if not node.has_parameter(name) and not qos.is_override(name)]
    names = [name for name in node.get_parameters_by_prefix("") if "." not in name]
    warnings = []
    for name in unknown:
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(names))}"
        if name.startswith(qos.OVERRIDES):
            hint = f"expected {qos.OVERRIDE_FORM}"
        warnings.append(f"parameter {name} is not one of this node's and has no effect; {hint}")
    return warnings
