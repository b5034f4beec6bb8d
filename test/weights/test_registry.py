"""Downloads against a hub on this machine that speaks the real one's protocol."""

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mambapose_ros.weights import MODELS, WeightsError, locate

CONTENT = bytes(range(256)) * 40
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAMBAPOSE = [sys.executable, "-c", "import sys; from mambapose_ros.cli.main import main; sys.exit(main())"]


class Hub(BaseHTTPRequestHandler):
    """Serves PoseMamba_S.bin."""

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, with_body: bool):
        known = (
            self.path.endswith("/nankingjings/PoseMamba-weights/resolve/main/PoseMamba_S.bin") or COMMIT in self.path
        )
        if not known:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if with_body:
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    """Environment of a machine whose hub is here and whose cache is empty."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    server.shutdown()
    server.server_close()
    thread.join()


def mambapose(environment, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*MAMBAPOSE, *arguments], cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_download_is_kept_and_found_without_the_network(hub):
    fetched = mambapose(hub, "download", "posemamba-s")
    assert fetched.returncode == 0, fetched.stderr
    assert "academic use only" in fetched.stdout
    path = fetched.stdout.splitlines()[0].removeprefix("posemamba-s: ")
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    offline = {**hub, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    code = "from mambapose_ros.weights import locate; print(locate('posemamba-s'))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=offline, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == path


@pytest.mark.parametrize(
    ("name", "expected"),
    [("posemamba-b", "cannot download posemamba-b"), ("posemamba-xl", "expected one of posemamba-s")],
)
def test_what_cannot_be_downloaded_is_told_in_a_line(hub, name, expected):
    failed = mambapose(hub, "download", name)
    assert failed.returncode == 1
    assert expected in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_list_tells_terms_and_what_is_here(hub):
    listed = mambapose({**hub, "COLUMNS": "200"}, "download", "--list")
    assert listed.returncode == 0
    for name in MODELS:
        assert name in listed.stdout
    assert "academic use only" in listed.stdout


def test_a_model_that_is_not_here_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="mambapose download posemamba-s"):
        locate("posemamba-s")


def test_paths_are_taken_as_they_are(tmp_path):
    path = tmp_path / "mine.bin"
    path.write_bytes(b"")
    assert locate(str(path)) == path
    with pytest.raises(WeightsError, match="expected a file or one of"):
        locate(str(tmp_path / "nowhere.bin"))
