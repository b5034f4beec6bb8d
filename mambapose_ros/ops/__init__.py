"""Selective scan: one function, several backends. Importing this package does not load torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambapose_ros.ops.scan import ScanBackend, scan_backends, selective_scan

__all__ = ["ScanBackend", "scan_backends", "selective_scan"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mambapose_ros.ops.scan"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
