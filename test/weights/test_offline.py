"""Nothing but ``mambapose download`` uses the network: making any stage opens no connection."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import DETECTORS

# What is asked of the network is refused, and told. Of each pipeline in the list, what came of it.
MAKE = """
import json, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        print("NETWORK", event, arguments[1:], flush=True)
        raise OSError("no network here")

sys.addaudithook(refuse)
from mambapose_ros.errors import UserError
from mambapose_ros.perception import Pipeline, PipelineOptions

def answer(options):
    try:
        Pipeline.create(PipelineOptions(device="cpu", **{"detector": "external", "weights": "", **options})).close()
        return "made"
    except UserError as error:
        return str(error)

for options in json.loads(sys.argv[1]):
    print(answer(options))
"""

NEEDS_DOWNLOAD = [
    *({"detector": name} for name in DETECTORS if name in ("vitpose", "keypoint_rcnn")),
    *({"flow": name} for name in FLOWS if name.startswith("raft")),
    *({"depth": name} for name in DEPTHS if name.startswith("depth_anything")),
    {"weights": "posemamba-s"},
]
NEEDS_NONE = [
    *({"detector": name} for name in DETECTORS if name not in ("vitpose", "keypoint_rcnn")),
    {"flow": "dis"},
    {"depth": "sensor"},
    *({"weights": name} for name in ("auto", "mambapose-xs", "mambapose-s")),
]


def run(tmp_path, code: str, *arguments: str) -> list[str]:
    """Lines that the code prints on a machine to which nothing was downloaded."""
    caches = {name: str(tmp_path) for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME")}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**environment, **caches},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_not_here_is_not_fetched_and_the_command_that_does_is_named(tmp_path):
    said = run(tmp_path, MAKE, json.dumps(NEEDS_DOWNLOAD))
    assert len(said) == len(NEEDS_DOWNLOAD)
    assert all("run `mambapose download " in line for line in said), said


def test_what_needs_no_download_is_made(tmp_path):
    needs = [options for options in NEEDS_NONE if options != {"detector": "mediapipe"} or find_spec("mediapipe")]
    assert run(tmp_path, MAKE, json.dumps(needs)) == ["made"] * len(needs)


def test_the_network_would_be_noticed(tmp_path):
    asking = (
        "import huggingface_hub\ntry:\n    huggingface_hub.hf_hub_download('a/b', 'c')\nexcept Exception:\n    pass"
    )
    assert any(line.startswith("NETWORK socket.") for line in run(tmp_path, MAKE + asking, "[]"))
