"""Downloads from an address, against a server on this machine."""

import hashlib
import os
import subprocess
import sys
import threading

import pytest

from mambapose_ros.weights import WeightsError, registry
from mambapose_ros.weights.sources import Address, ChecksumError, _hub_cache

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: more than one piece
NAME = f"model-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Site:
    """Serves ``content`` at any path, and remembers the ranges that were asked for."""

    def __init__(self, serve, ranges: bool = True):
        self.content, self.ranges, self.asked, self.cut = CONTENT, ranges, [], None
        self.model = Address(f"{serve(self.answer)}/models/{NAME}")

    def answer(self, request, with_body: bool) -> None:
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start and start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        rest = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        request.wfile.write(rest[: self.cut])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize("ranges", [True, False], ids=["resuming", "server without ranges"])
def test_an_interrupted_download_goes_on_where_it_stopped(serve, cache, ranges):
    site = Site(serve, ranges)
    assert site.model.find() is None
    site.cut = 1_500_000
    with pytest.raises(WeightsError, match=r"ended after 1500000 of 2304000 bytes.*same command resumes"):
        site.model.fetch()
    assert site.model.find() is None
    site.cut = None
    path = site.model.fetch()
    assert path == cache / NAME == site.model.find()
    assert path.read_bytes() == CONTENT
    assert site.asked == [None, "bytes=1500000-"]
    assert os.listdir(cache) == [NAME]


def test_what_was_already_whole_is_only_checked(serve, cache):
    site = Site(serve)
    cache.mkdir(parents=True)
    (cache / f"{NAME}.partial").write_bytes(CONTENT)
    assert site.model.fetch().read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_the_next_try_starts_afresh(serve, cache):
    site = Site(serve)
    site.content = CONTENT[:-1] + b"x"
    got = hashlib.sha256(site.content).hexdigest()[:16]
    with pytest.raises(ChecksumError, match=f"{NAME}.*begins with {NAME[6:14]}, got {got}"):
        site.model.fetch()
    assert os.listdir(cache) == []
    site.content = CONTENT
    assert site.model.fetch().read_bytes() == CONTENT


def test_a_damaged_file_is_never_handed_out_and_download_replaces_it(serve, cache, monkeypatch):
    site = Site(serve)
    monkeypatch.setattr(registry, "MODELS", {"it": registry.Model("it", "", site.model, "", "")})
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT[:1000])
    for ask in (registry.locate, lambda name: registry.download(name, offline=True)):
        with pytest.raises(WeightsError, match=f"{cache / NAME} is damaged.*Run `mambapose download it`"):
            ask("it")
    assert registry.download("it").read_bytes() == CONTENT
    assert registry.locate("it") == cache / NAME
    assert site.asked == [None]


def test_a_server_that_cannot_be_reached_is_told(cache):
    with pytest.raises(WeightsError, match=r"cannot download http://127.0.0.1:9/model-00000000.pth.*refused"):
        Address("http://127.0.0.1:9/model-00000000.pth").fetch()


def test_two_downloads_at_once_do_not_harm_each_other(serve, cache, monkeypatch):
    """Of different models; the progress bars share the terminal."""
    sites = [Site(serve), Site(serve)]
    sites[1].content = CONTENT[::-1]
    name = f"other-{hashlib.sha256(CONTENT[::-1]).hexdigest()[:8]}.pth"
    sites[1].model = Address(sites[1].model.url.replace(NAME, name))
    threads = [threading.Thread(target=site.model.fetch) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [site.model.find().read_bytes() == site.content for site in sites] == [True, True]


@pytest.mark.parametrize("variables", [{"TORCH_HOME": "/a/b"}, {"XDG_CACHE_HOME": "/c"}, {}])
def test_the_cache_is_torch_hubs(monkeypatch, variables):
    import torch

    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert str(Address("https://x/y-12345678.pth").path.parent) == os.path.join(torch.hub.get_dir(), "checkpoints")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"XDG_CACHE_HOME": "/caches"},
        {"XDG_CACHE_HOME": "/caches", "HF_HOME": "~/faces"},
        {"HF_HOME": "/faces", "HUGGINGFACE_HUB_CACHE": "$HOME/older"},
        {"HUGGINGFACE_HUB_CACHE": "/older", "HF_HUB_CACHE": "/newer"},
    ],
)
def test_the_hubs_cache_is_where_the_hub_has_it(monkeypatch, given):
    for variable in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    program = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    there = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60).strip()
    assert str(_hub_cache()) == there


def test_what_was_never_downloaded_is_missed_without_the_hubs_client(tmp_path):
    program = "import sys; from mambapose_ros.weights.advice import advice; print(advice(True), *sys.modules)"
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path)}
    said = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True, timeout=60)
    assert "would add" in said
    assert "huggingface_hub" not in said
