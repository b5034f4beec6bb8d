"""Parameters: declared, described and checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter


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

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows, and rclpy enforces."""
        descriptor = ParameterDescriptor(name=self.name, description=self.description, read_only=True)
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if self.range is not None and isinstance(self.default, int):
            low, high = (int(limit) for limit in self.range)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        elif self.range is not None:
            low, high = self.range
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        return descriptor


class ParameterError(ValueError):
    """A parameter with a value that is not allowed; the message says which are."""


def declare_parameters(node: Node, specs: tuple[ParameterSpec, ...]) -> dict[str, Any]:
    """Declare all; returns their values.

    Raises:
        ParameterError: when a value given at start is of another type, out of range or not among the choices.
    """
    values: dict[str, Any] = {}
    for spec in specs:
        try:
            values[spec.name] = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        except Exception as error:  # rclpy raises several unrelated types here
            raise ParameterError(f"parameter {spec.name}: {error}; {_expectation(spec)}") from error
        if spec.choices and values[spec.name] not in spec.choices:
            raise ParameterError(f"parameter {spec.name}: got {values[spec.name]!r}; {_expectation(spec)}")
    return values


def _expectation(spec: ParameterSpec) -> str:
    kind = Parameter.Type.from_parameter_value(spec.default).name.lower()
    if spec.choices:
        return f"expected one of {', '.join(spec.choices)}, for example {spec.default}"
    if spec.range is not None:
        return f"expected a {kind} from {spec.range[0]} to {spec.range[1]}, for example {spec.default}"
    return f"expected a {kind}, for example {spec.default!r}"
