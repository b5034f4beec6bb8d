"""The table of models, and the command that fetches them from a hub on this machine that answers as the real one."""

import hashlib
import os
import subprocess
import sys

import pytest

from mambapose_ros.cli.main import main
from mambapose_ros.weights import MODELS, WeightsError, advice, lifter_for, locate, registry
from mambapose_ros.weights.sources import Address, Hub, Shipped

CONTENT = bytes(range(256)) * 40
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORIES = {
    "nankingjings/PoseMamba-weights": {"PoseMamba_S.bin": CONTENT},
    "depth-anything/Depth-Anything-V2-Small-hf": {
        "config.json": b"{}",
        "preprocessor_config.json": b"{ }",
        "model.safetensors": CONTENT[:5000],
    },
}
MAMBAPOSE = [sys.executable, "-c", "import sys; from mambapose_ros.cli.main import main; sys.exit(main())"]


def answer_as_hub(request, with_body: bool) -> None:
    """HEAD or GET /OWNER/NAME/resolve/REVISION/FILE."""
    owner, name, _, _, file = (*request.path.strip("/").split("/"), "", "", "", "")[:5]
    content = REPOSITORIES.get(f"{owner}/{name}", {}).get(file)
    if content is None:
        request.send_response(404)
        request.send_header("X-Error-Code", "EntryNotFound")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    request.send_response(200)
    request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
    request.send_header("X-Repo-Commit", COMMIT)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if with_body:
        request.wfile.write(content)


@pytest.fixture
def hub(serve, tmp_path):
    """Environment of a machine whose hub is here and whose caches are empty."""
    return {
        **os.environ,
        "HF_ENDPOINT": serve(answer_as_hub),
        "HF_HOME": str(tmp_path / "cache"),
        "TORCH_HOME": str(tmp_path / "torch"),
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def unreachable(hub):
    """The same machine without a network: whoever asks for it fails."""
    return {**hub, "HF_ENDPOINT": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}


def mambapose(environment, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*MAMBAPOSE, *arguments], cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def place(answer: subprocess.CompletedProcess, name: str) -> str:
    assert answer.returncode == 0, answer.stderr
    return next(line for line in answer.stdout.splitlines() if line.startswith(name)).removeprefix(f"{name}: ")


def test_downloads_run_side_by_side_and_are_found_without_the_network(hub, unreachable):
    fetched = mambapose(hub, "download", "posemamba-s", "depth-anything-v2-small")
    assert "academic use only" in fetched.stdout
    file, folder = place(fetched, "posemamba-s"), place(fetched, "depth-anything-v2-small")
    with open(file, "rb") as content:
        assert content.read() == CONTENT
    assert {name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)} == {
        name: len(content) for name, content in REPOSITORIES["depth-anything/Depth-Anything-V2-Small-hf"].items()
    }
    for flags in ([], ["--offline"]):
        again = mambapose(unreachable, "download", "posemamba-s", "depth-anything-v2-small", *flags)
        assert place(again, "posemamba-s") == file
        assert place(again, "depth-anything-v2-small") == folder


def test_a_damaged_download_is_refused_and_fetched_again_by_the_command_that_is_named(hub, unreachable):
    folder = place(mambapose(hub, "download", "depth-anything-v2-small"), "depth-anything-v2-small")
    model = os.path.realpath(os.path.join(folder, "model.safetensors"))
    with open(model, "r+b") as file:
        file.write(b"other")
    refused = mambapose(unreachable, "download", "--offline", "depth-anything-v2-small")
    assert refused.returncode == 1
    expected = hashlib.sha256(CONTENT[:5000]).hexdigest()[:16]
    got = hashlib.sha256(b"other" + CONTENT[5:5000]).hexdigest()[:16]
    for words in ("model.safetensors", expected, got, "mambapose download depth-anything-v2-small"):
        assert words in refused.stderr
    assert place(mambapose(hub, "download", "depth-anything-v2-small"), "depth-anything-v2-small") == folder
    with open(model, "rb") as file:
        assert file.read() == CONTENT[:5000]


def test_what_cannot_be_downloaded_is_told_in_a_line_and_does_not_stop_the_others(hub):
    failed = mambapose(hub, "download", "posemamba-b", "posemamba-xl", "posemamba-s")
    assert failed.returncode == 1
    assert "posemamba-b: cannot download PoseMamba_B.bin from https://huggingface.co/nankingjings" in failed.stderr
    assert "no model 'posemamba-xl': expected one of mambapose-xs" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "posemamba-s: /" in failed.stdout


def test_offline_nothing_is_asked_of_the_network(hub):
    """The hub would have the file."""
    refused = mambapose(hub, "download", "--offline", "posemamba-s", "raft-small")
    assert refused.returncode == 1
    for name in ("posemamba-s", "raft-small"):
        assert f"{name} is not on this machine: run `mambapose download {name}`" in refused.stderr


def test_the_list_tells_origin_terms_and_what_is_here(unreachable):
    listed = mambapose(unreachable, "download", "--list")
    assert listed.returncode == 0
    for model in MODELS.values():
        assert f"{model.name} (" in listed.stdout or f"{model.name}:" in listed.stdout
        for words in (model.source.origin, f"revision {model.source.revision}", model.licence, model.data_terms):
            assert words in listed.stdout
    assert "SHA-256 01064c6d" in listed.stdout
    assert "run `mambapose download raft-small`" in listed.stdout


def test_a_model_that_is_not_here_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, model in MODELS.items():
        if not model.shipped:
            with pytest.raises(WeightsError, match=f"run `mambapose download {name}`"):
                locate(name)


def test_a_cache_that_cannot_be_read_is_told(unreachable, tmp_path):
    """Too long a name is an error for root as well, who may read everything."""
    machine = {**unreachable, "TORCH_HOME": str(tmp_path / ("x" * 300))}
    listed = mambapose(machine, "download", "--list")
    assert listed.returncode == 0, listed.stderr
    assert "here: no; cannot look for raft-small on this machine" in listed.stdout
    refused = mambapose(machine, "download", "raft-small")
    assert refused.returncode == 1
    assert "mambapose download: raft-small: cannot download" in refused.stderr
    assert "File name too long" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def forbidden(monkeypatch):
    """A machine on which no cached file may be read, and nothing may be looked for."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/cache")

    for source in (Address, Hub):
        for question in ("is_here", "find"):
            monkeypatch.setattr(source, question, refuse)


def test_a_cache_that_is_forbidden_is_told_and_does_not_stop_advice(forbidden):
    with pytest.raises(WeightsError, match=r"raft-small.*Permission denied: '/cache'.*HF_HOME and TORCH_HOME"):
        locate("raft-small")
    assert "mambapose download raft-small depth-anything-v2-small vitpose-base-simple rtdetr-r18" in advice.advice(True)


def test_advice_reads_no_model(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = MODELS["raft-small"].source
    source.path.parent.mkdir(parents=True)
    source.path.write_bytes(b"damaged, which only reading tells")
    assert registry.is_here("raft-small")
    assert "raft-small " not in advice.advice(True)
    with pytest.raises(WeightsError, match="damaged"):
        locate("raft-small")


def test_whatever_stops_a_download_makes_a_line_and_a_failure(monkeypatch, capsys):
    def fail(name, offline):
        raise ZeroDivisionError(f"of {name}")

    monkeypatch.setattr("mambapose_ros.cli.download.download", fail)
    assert main(["download", "raft-small", "posemamba-s"]) == 1
    said = sorted(capsys.readouterr().err.splitlines())
    assert said == [
        f"mambapose download: {name}: ZeroDivisionError: of {name}" for name in ("posemamba-s", "raft-small")
    ]


def test_a_shipped_file_that_is_missing_is_an_incomplete_installation(monkeypatch):
    lost = registry.Model("lost", "", Shipped("no_such_file.safetensors"), "", "")
    monkeypatch.setattr(registry, "MODELS", {"lost": lost})
    for ask in (registry.locate, registry.download):
        with pytest.raises(WeightsError, match=r"no_such_file.safetensors.*installation is incomplete"):
            ask("lost")


def test_paths_are_taken_as_they_are(tmp_path):
    path = tmp_path / "mine.bin"
    path.write_bytes(b"")
    assert locate(str(path)) == path
    assert locate(str(tmp_path)) == tmp_path
    for nothing in (str(tmp_path / "nowhere.bin"), ""):
        with pytest.raises(WeightsError, match=r"expected a file, a folder or one of .*`mambapose download NAME`"):
            locate(nothing)


def test_a_gpu_has_time_for_the_larger_lifter():
    assert [lifter_for(device) for device in ("cpu", "cuda")] == ["mambapose-xs", "mambapose-s"]
    assert lifter_for("cuda", "posemamba-s") == "posemamba-s"


def test_what_is_shipped_is_here_and_has_a_model_card():
    shipped = [name for name, model in MODELS.items() if model.shipped]
    assert shipped == ["mambapose-xs", "mambapose-s"]
    for name in shipped:
        path = locate(name)
        assert path.stat().st_size <= 6_000_000
        assert f"# {name}" in path.with_suffix(".md").read_text(encoding="utf-8").splitlines()


def test_addresses_and_sizes_are_those_of_torchvision():
    from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    published = {
        "raft-small": Raft_Small_Weights.DEFAULT,
        "raft-large": Raft_Large_Weights.DEFAULT,
        "keypoint-rcnn": KeypointRCNN_ResNet50_FPN_Weights.DEFAULT,
    }
    assert {name for name, model in MODELS.items() if isinstance(model.source, Address)} == set(published)
    for name, weights in published.items():
        assert MODELS[name].source.url == weights.url
        mebibytes = weights.meta["_file_size"]
        assert MODELS[name].megabytes == pytest.approx(mebibytes * 1.048576, abs=0.1)


def test_nothing_but_safetensors_comes_from_repositories_for_transformers():
    """A pickle could run code. PoseMamba publishes nothing else, and its loader takes tensors only."""
    for model in MODELS.values():
        if isinstance(model.source, Hub) and not model.name.startswith("posemamba"):
            assert model.source.files == ("config.json", "preprocessor_config.json", "model.safetensors")
