import subprocess
import sys

import pytest

from mambapose_ros.perception.keypoints import DetectorUnavailable, make_detector


def test_unknown_names_and_senseless_numbers_are_refused():
    with pytest.raises(ValueError, match="mediapipe"):
        make_detector("magic")
    with pytest.raises(ValueError, match="max_people"):
        make_detector("external", max_people=0)


def test_a_missing_library_says_what_remains(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe.python.solution_base", None)
    with pytest.raises(DetectorUnavailable, match=r"Python 3\.10-3\.12.*vitpose"):
        make_detector("mediapipe")


@pytest.mark.parametrize(("name", "model"), [("vitpose", "vitpose-base-simple"), ("keypoint_rcnn", "keypoint-rcnn")])
def test_missing_weights_say_how_to_get_them(monkeypatch, tmp_path, name, model):
    code = (
        "from mambapose_ros.errors import UserError\n"
        "from mambapose_ros.perception.keypoints import make_detector\n"
        f"try:\n    make_detector({name!r})\nexcept UserError as error:\n    print(type(error).__name__, error)"
    )
    # Caches are read when the libraries are imported, so in another process.
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "DetectorUnavailable" in said
    assert f"mambapose download {model}" in said
