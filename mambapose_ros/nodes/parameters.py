"""Parameters: declared, described and checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mambapose_ros.errors import UserError


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        name, default: its type is the default's.
        description: one line.
        choices: allowed strings; empty = any.
        range: allowed numbers, both ends included; None = any.
    """

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = field(default=None)

    @property
    def _takes_integers(self) -> bool:
        """Whether an integer may stand for the value: text of digits, or a number without a point."""
        return isinstance(self.default, (str, float)) and not self.choices

    @property
    def expectation(self) -> str:
        """What is expected, with an example."""
        kind = Parameter.Type.from_parameter_value(self.default).name.lower()
        if self.choices:
            return f"expected one of {', '.join(self.choices)}, for example {self.default}"
        if self.range is not None:
            return (
                f"expected a value of type {kind} from {self.range[0]} to {self.range[1]}, for example {self.default}"
            )
        return f"expected a value of type {kind}, for example {self.default!r}"

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows, and rclpy enforces."""
        descriptor = ParameterDescriptor(name=self.name, description=self.description, read_only=True)
        # `rate:=10` and `source:=0` are meant as 10.0 and "0"; the value is checked and converted here instead.
        descriptor.dynamic_typing = self._takes_integers
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

    Raises:
        ParameterError: when a value given at start is of another type, out of range or not among the choices.
    """
    return {spec.name: _declare(node, spec) for spec in specs}


def _declare(node: Node, spec: ParameterSpec) -> Any:
    try:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
    except Exception as error:  # rclpy raises several unrelated types here
        raise ParameterError(f"parameter {spec.name}: {error}; {spec.expectation}") from error
    if spec._takes_integers and type(value) is int:
        value = type(spec.default)(value)
    if type(value) is not type(spec.default) or (spec.choices and value not in spec.choices):
        raise ParameterError(f"parameter {spec.name}: got {value!r}; {spec.expectation}")
    if spec.range is not None and not spec.range[0] <= value <= spec.range[1]:
        raise ParameterError(f"parameter {spec.name}: got {value!r}; {spec.expectation}")
    return value
