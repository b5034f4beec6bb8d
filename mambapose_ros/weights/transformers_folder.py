"""Folders with a network as transformers saves it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mambapose_ros.errors import first_line
from mambapose_ros.weights.sources import WeightsError


@dataclass(frozen=True)
class Architecture:
    """What a folder is expected to hold.

    Attributes:
        name: in messages.
        model_type: what config.json calls it.
        download: what ``mambapose download`` is to be asked for instead.
    """

    name: str
    model_type: str
    download: str

    def load_network(self, kind: Any, folder: Path) -> Any:
        """The network in eval mode on the CPU: all of it from model.safetensors, which cannot run code.

        Args:
            kind: class of transformers.
            folder: as ``save_pretrained`` writes it.

        Raises:
            WeightsError: when the folder holds something else, or less; it names what was expected and the command
                that puts it right.
        """
        network, report = self._load(kind, folder, use_safetensors=True, output_loading_info=True)
        # What lacks has random numbers, of which transformers only warns.
        lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        if lacking:
            raise self._refusal(
                folder, f"{len(lacking)} of its parameters lack or do not fit: {', '.join(lacking[:4])}"
            )
        return network.eval()

    def load_processor(self, kind: Any, folder: Path) -> Any:
        """The settings of the network's input, of a class of transformers; errors are those of ``load_network``."""
        return self._load(kind, folder)

    def _load(self, kind: Any, folder: Path, **options: Any) -> Any:
        from transformers.utils import logging

        try:
            found = read_config(folder).get("model_type")
        except WeightsError as error:
            raise WeightsError(f"{error}; {self._remedy}") from error
        if found != self.model_type:
            raise self._refusal(folder, f"it is a network of type {found!r}")
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return kind.from_pretrained(folder, local_files_only=True, **options)
        except ImportError:
            raise  # a library lacks, not a file
        except Exception as error:  # transformers and safetensors raise errors of many kinds
            raise self._refusal(folder, f"it cannot be loaded ({first_line(error)})") from error
        finally:
            if bars:
                logging.enable_progress_bar()

    def _refusal(self, folder: Path, problem: str) -> WeightsError:
        return WeightsError(
            f"{folder}: expected {self.name} as save_pretrained writes it (config.json, preprocessor_config.json, "
            f"model.safetensors), but {problem}; {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        return f"run `mambapose download {self.download}`, or give such a folder"


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a network that lies in the folder as a whole.

    Raises:
        WeightsError: when it cannot be read, or names a network that transformers would fetch while it loads this one,
            whether it may use the network or not.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: expected the settings of a network of transformers, got {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: expected the settings of a network of transformers, got {type(config).__name__}")
    if backbone := _named_backbone(config):
        raise WeightsError(
            f"{path}: expected a network that is all in this folder, but its backbone {backbone!r} is elsewhere; save "
            "it with a backbone_config instead"
        )
    return config


def _named_backbone(config: dict[str, Any]) -> str:
    """Of the network or of its parts; empty when none is."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    return next((str(part["backbone"]) for part in parts if part.get("backbone")), "")
