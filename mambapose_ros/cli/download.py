"""Fetch models that are not part of the package. Nothing else ever downloads."""

from __future__ import annotations

import argparse

from mambapose_ros.weights import MODELS, WeightsError, download, locate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MODELS)}")
    parser.add_argument("--list", action="store_true", help="say what there is, under which terms, and what is here")


def run(arguments: argparse.Namespace) -> int:
    """List, or download; returns the exit status."""
    if arguments.list or not arguments.names:
        _print_list()
        return 0
    for name in arguments.names:
        path = download(name)
        print(f"{name}: {path}\n  licence: {MODELS[name].licence}; {MODELS[name].data_terms}")
    return 0


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what", "licence", "terms of the training data", "here")
    for model in MODELS.values():
        table.add_row(model.name, model.purpose, model.licence, model.data_terms, _place(model.name))
    Console().print(table)


def _place(name: str) -> str:
    try:
        return str(locate(name))
    except WeightsError:
        return "no"
