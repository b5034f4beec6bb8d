"""Where models come from: the package itself, the Hugging Face hub, or an address. The only code that uses the network.

Caches are those that other programs use too: HF_HOME and HF_HUB_CACHE for the hub, TORCH_HOME for addresses.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mambapose_ros.errors import UserError, first_line

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0


class WeightsError(UserError):
    """A model that is not there or not what it should be; the message says which command puts it right."""


class MissingError(WeightsError):
    """A model that has not been downloaded."""


class ChecksumError(WeightsError):
    """A file whose content is not what its source published."""


class Source(Protocol):
    """Where a model's files come from, and where they are on this machine."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""

    @property
    def revision(self) -> str:
        """Which version of it."""

    @property
    def checksum(self) -> str:
        """What its content is checked against, in words; empty = nothing."""

    def is_here(self) -> bool:
        """Whether it is on this machine, sound or not: it is not read. Never uses the network.

        Raises:
            OSError: when the cache cannot be searched.
        """

    def find(self) -> Path | None:
        """The file or folder on this machine, checked; None when it is not here. Never uses the network.

        Raises:
            ChecksumError: when it is damaged.
            OSError: when it cannot be read.
        """

    def fetch(self) -> Path:
        """Download it, showing progress and resuming where an earlier try stopped.

        Raises:
            WeightsError: when it cannot be had, or what came is not what was published.
        """


@dataclass(frozen=True)
class Shipped:
    """A file that belongs to the package.

    Attributes:
        filename: in this folder.
    """

    filename: str

    @property
    def path(self) -> Path:
        return Path(__file__).with_name(self.filename)

    @property
    def origin(self) -> str:
        return "shipped with the package"

    @property
    def revision(self) -> str:
        return "the package's"

    @property
    def checksum(self) -> str:
        return ""

    def is_here(self) -> bool:
        return self.path.is_file()

    def find(self) -> Path | None:
        return self.path if self.is_here() else None

    def fetch(self) -> Path:
        raise WeightsError(
            f"{self.path} belongs to the package and is missing: the installation is incomplete. Install the package "
            "again (`make build` in a checkout, colcon build, or pip install --force-reinstall)"
        )


@dataclass(frozen=True)
class Hub:
    """Files of a repository on the Hugging Face hub.

    Attributes:
        repository: owner/name.
        files: that the model consists of. One is used as a file; several as the folder they lie in.
        revision: branch, tag or commit.
    """

    repository: str
    files: tuple[str, ...]
    revision: str = "main"

    @property
    def origin(self) -> str:
        return f"https://huggingface.co/{self.repository}"

    @property
    def checksum(self) -> str:
        return "SHA-256, told by the hub"

    def is_here(self) -> bool:
        return bool(self._cached())

    def find(self) -> Path | None:
        for path in (found := self._cached()):
            _check_cached(path)
        return self._model(found) if found else None

    def fetch(self) -> Path:
        hub = _hub()
        paths = []
        for file in self.files:
            try:
                path = Path(hub.hf_hub_download(self.repository, file, revision=self.revision))
                try:
                    _check_cached(path)
                except ChecksumError:
                    forced = hub.hf_hub_download(self.repository, file, revision=self.revision, force_download=True)
                    _check_cached(path := Path(forced))
            except WeightsError:
                raise
            except Exception as error:  # the hub's client raises errors of several libraries
                raise WeightsError(f"cannot download {file} from {self.origin}: {first_line(error)}") from error
            paths.append(path)
        return self._model(paths)

    def _cached(self) -> list[Path]:
        """Its files, when all of them are here; else none."""
        if not (_hub_cache() / f"models--{self.repository.replace('/', '--')}").is_dir():
            return []
        try_to_load_from_cache = _hub().try_to_load_from_cache
        paths = [try_to_load_from_cache(self.repository, file, revision=self.revision) for file in self.files]
        return [Path(path) for path in paths] if all(isinstance(path, str) for path in paths) else []

    def _model(self, paths: list[Path]) -> Path:
        return paths[0] if len(paths) == 1 else paths[0].parent


@dataclass(frozen=True)
class Address:
    """One file at an address, kept where torch.hub keeps it.

    Attributes:
        url: whose file name ends in -XXXXXXXX, the beginning of its SHA-256 in hexadecimal.
    """

    url: str

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        return _torch_cache() / self.filename

    @property
    def digits(self) -> str:
        """The first digits of the file's SHA-256."""
        return self.filename.rpartition(".")[0].rpartition("-")[2]

    @property
    def origin(self) -> str:
        return self.url

    @property
    def revision(self) -> str:
        return self.digits

    @property
    def checksum(self) -> str:
        return f"SHA-256 {self.digits}..."

    def is_here(self) -> bool:
        return self.path.is_file()

    def find(self) -> Path | None:
        if not self.is_here():
            return None
        _check(self.path, self.digits)
        return self.path

    def fetch(self) -> Path:
        partial = self.path.with_name(self.filename + ".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _transfer(self.url, partial)
        except (OSError, EOFError) as error:
            raise WeightsError(
                f"cannot download {self.url}: {first_line(error)}; the same command resumes where this one stopped"
            ) from error
        try:
            _check(partial, self.digits)
        except ChecksumError:
            partial.unlink()  # or it would be resumed, and stay wrong for ever
            raise
        return partial.replace(self.path)


def _transfer(url: str, partial: Path) -> None:
    """Append to ``partial`` what it lacks of the file at ``url``."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    here = partial.stat().st_size if partial.exists() else 0
    try:
        response = urlopen(Request(url, headers={"Range": f"bytes={here}-"} if here else {}), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing lies behind the last byte that is here: the file is whole
    with closing(response):
        resumed = response.status == 206
        start = here if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = _hub().utils.tqdm(desc=url.rpartition("/")[2], initial=start, total=total, unit="B", unit_scale=True)
        with closing(bar), partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            if total is not None and file.tell() != total:
                raise EOFError(f"the connection ended after {file.tell()} of {total} bytes")


def _check_cached(path: Path) -> None:
    """The hub's cache names a large file by its SHA-256, and links to it."""
    name = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", name):
        _check(path, name)


def _check(path: Path, digits: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if not digest.hexdigest().startswith(digits):
        raise ChecksumError(
            f"{path} is damaged: expected a SHA-256 that begins with {digits[:16]}, got {digest.hexdigest()[:16]}"
        )


def _torch_cache() -> Path:
    """As torch.hub has it, without the second that importing torch takes."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"


def _hub_cache() -> Path:
    """As huggingface_hub has it, without the 15 MB and the third of a second that importing it takes."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(hub)))


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise WeightsError("huggingface_hub is not installed: pip install huggingface_hub, or give a file") from error
    return huggingface_hub
