"""Fetch models that are not part of the package. Nothing else ever downloads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from mambapose_ros.weights import MODELS, WeightsError, download, locate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MODELS)}")
    parser.add_argument("--all", action="store_true", help="every model there is")
    parser.add_argument("--list", action="store_true", help="say what there is, under which terms, and what is here")
    parser.add_argument("--offline", action="store_true", help="download nothing; fail when a model is not here")


def run(arguments: argparse.Namespace) -> int:
    """List, or download; returns the exit status."""
    names = list(MODELS) if arguments.all else list(dict.fromkeys(arguments.names))
    if arguments.list or not names:
        _print_list(names or list(MODELS))
        return 0
    paths, problems = _download(names, arguments.offline)
    for name, path in paths.items():
        print(f"{name}: {path}\n  licence: {MODELS[name].licence}; {MODELS[name].data_terms}")
    for problem in problems:
        print(f"mambapose download: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _download(names: Sequence[str], offline: bool) -> tuple[dict[str, Path], list[str]]:
    """Fetch all side by side; returns where they are, and what went wrong with the others."""
    paths: dict[str, Path] = {}
    problems: list[str] = []

    def fetch(name: str) -> None:
        try:
            paths[name] = download(name, offline)
        except WeightsError as error:
            problems.append(str(error))
        except Exception as error:  # or the thread would end with a traceback, and the command as if all were well
            problems.append(f"{name}: {type(error).__name__}: {error}")

    # Daemons: an interrupt ends the command at once, and the next one resumes.
    threads = [Thread(target=fetch, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: paths[name] for name in names if name in paths}, problems


def _print_list(names: Sequence[str]) -> None:
    for name in names:
        if name not in MODELS:
            raise WeightsError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
        model, source = MODELS[name], MODELS[name].source
        size = "" if model.megabytes is None else f" ({model.megabytes:.0f} MB)"
        origin = ", ".join(filter(None, (source.origin, f"revision {source.revision}", source.checksum)))
        print(f"{name}{size}: {model.purpose}")
        print(f"  from: {origin}")
        print(f"  licence: {model.licence}; {model.data_terms}")
        print(f"  here: {_place(name)}")


def _place(name: str) -> str:
    try:
        return str(locate(name))
    except WeightsError as error:
        return f"no; {error}"
