import json
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.perception.depth import DEPTHS, DepthAnything, Preparation, SensorDepth, make_depth
from mambapose_ros.types import Frame
from mambapose_ros.weights import WeightsError

IMAGES = [np.random.default_rng(seed).integers(0, 256, (60, 90, 3), dtype=np.uint8) for seed in range(3)]


def frame(image: np.ndarray, depth: np.ndarray | None = None) -> Frame:
    return Frame(0, "camera", image, Camera.from_fov(image.shape[1], image.shape[0]), depth)


def save(folder, **settings_):
    """A small network with random parameters, and its processor, as they lie on the hub."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=518,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **settings_,
    )
    network = DepthAnythingForDepthEstimation(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.05, 0.15)
    torch.nn.init.constant_(network.head.conv3.bias, 0.5)  # the answer is cut off at zero
    torch.nn.init.normal_(network.head.conv3.weight, 0.0, 0.01)
    network.save_pretrained(folder)
    processor = DPTImageProcessor(
        size={"height": 518, "width": 518},
        ensure_multiple_of=14,
        keep_aspect_ratio=True,
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    return save(tmp_path_factory.mktemp("relative"))


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    return save(tmp_path_factory.mktemp("metric"), depth_estimation_type="metric", max_depth=20)


# --- preparation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [0, 252, 56])
@pytest.mark.parametrize("size", [(480, 640), (360, 640), (640, 480), (97, 131), (1080, 1920)])
def test_the_network_gets_what_the_publishers_processor_gives(relative, side, size):
    from transformers import AutoImageProcessor

    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = AutoImageProcessor.from_pretrained(relative, local_files_only=True)
    other_size = {"size": {"height": side, "width": side}} if side else {}
    expected = processor(images=image, return_tensors="pt", **other_size)["pixel_values"]
    preparation = Preparation.read(relative / "preprocessor_config.json", side)
    prepared = preparation(torch.from_numpy(image).permute(2, 0, 1)[None])
    torch.testing.assert_close(prepared, expected, atol=1e-5, rtol=0.0)


def test_the_settings_are_read_from_the_file(relative, tmp_path):
    content = json.loads((relative / "preprocessor_config.json").read_text())
    (path := tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**content, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0], "keep_aspect_ratio": False})
    )
    prepared = Preparation.read(path, 28)(torch.full((1, 3, 50, 90), 255, dtype=torch.uint8))
    torch.testing.assert_close(prepared, torch.ones(1, 3, 28, 28))


@given(height=st.integers(1, 2000), width=st.integers(1, 2000), side=st.integers(1, 50).map(lambda n: 14 * n))
@settings(max_examples=200)
def test_prepared_sides_are_whole_patches(height, width, side):
    sides = Preparation(side, side, True, 14, 3, 1.0, (0.0,) * 3, (1.0,) * 3).size(height, width)
    assert all(length % 14 == 0 and length >= 14 for length in sides)
    if min(height, width) > side and max(height, width) < 20 * min(height, width):
        # Scaled down, the nearer factor is the larger one: it makes the shorter side fit.
        assert min(sides) == side
        assert max(sides) == pytest.approx(side * max(height, width) / min(height, width), abs=7.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"do_pad": True}, "do_pad"),
        ({"do_resize": False}, "do_resize"),
        ({"resample": 1}, "resample"),
        ({"size": 3}, "DPT"),
    ],
)
def test_other_settings_are_refused(relative, tmp_path, change, told):
    content = json.loads((relative / "preprocessor_config.json").read_text())
    (path := tmp_path / "preprocessor_config.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(WeightsError, match=told):
        Preparation.read(path)


# --- the network ------------------------------------------------------------------------------------------------------


def test_relative_depth_is_the_networks_answer_at_the_images_size(relative):
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    network = AutoModelForDepthEstimation.from_pretrained(relative, local_files_only=True).eval()
    inputs = AutoImageProcessor.from_pretrained(relative, local_files_only=True)(images=IMAGES[0], return_tensors="pt")
    with torch.inference_mode():
        answer = network(**inputs).predicted_depth
    expected = torch.nn.functional.interpolate(answer[None], (60, 90), mode="bilinear")[0, 0].numpy()
    found = DepthAnything(relative, "it")(frame(IMAGES[0]))
    assert (found.metric, found.source) == (False, "it")
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()


def test_metric_depth_is_metres_up_to_the_networks_range(metric):
    found = DepthAnything(metric, side=56)(frame(IMAGES[0]))
    assert found.metric
    assert found.values.min() > 0.0
    assert 1.0 < found.values.max() <= 20.0


def test_a_batch_gives_what_single_images_give(relative):
    depth = DepthAnything(relative, side=56)
    together = depth.estimate(IMAGES)
    alone = np.concatenate([depth.estimate([image]) for image in IMAGES])
    assert together.shape == (3, 60, 90)
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())
    assert np.abs(together[0] - together[1]).max() > 1e-3 * np.abs(alone).max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU")
def test_depth_is_the_same_on_a_gpu(relative):
    cpu, gpu = (DepthAnything(relative, device=device, side=56).estimate(IMAGES) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu, cpu, rtol=1e-3, atol=1e-3 * np.abs(cpu).max())


def test_folders_that_hold_something_else_are_refused(relative, tmp_path):
    def changed(name: str):
        return shutil.copytree(relative, tmp_path / name)

    with pytest.raises(WeightsError, match=r"preprocessor_config.json.*mambapose download"):
        DepthAnything(tmp_path)
    (changed("no network") / "model.safetensors").unlink()
    (changed("other network") / "config.json").write_text('{"model_type": "bert"}')
    cut = changed("cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:5000])
    content = json.loads((changed("wider") / "config.json").read_text())
    content["backbone_config"]["mlp_ratio"] = 5
    (tmp_path / "wider" / "config.json").write_text(json.dumps(content))
    content["backbone_config"].update(mlp_ratio=2, num_hidden_layers=5)
    (changed("longer") / "config.json").write_text(json.dumps(content))
    for name, told in [
        ("no network", "cannot be loaded"),
        ("other network", "type 'bert'"),
        ("cut", "cannot be loaded"),
        ("wider", "cannot be loaded|do not fit"),
        ("longer", "parameters lack"),
    ]:
        with pytest.raises(WeightsError, match=f"{name}.*({told}).*mambapose download depth-anything-v2-small"):
            DepthAnything(tmp_path / name)


def test_pickles_are_not_read(relative, tmp_path):
    from safetensors.torch import load_file

    folder = shutil.copytree(relative, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        DepthAnything(folder)


# --- the sensor and names ---------------------------------------------------------------------------------------------


def test_the_sensor_gives_what_it_measured_in_metres():
    measured = np.full((60, 90), 2.5, np.float32)
    depth = make_depth("sensor")
    assert isinstance(depth, SensorDepth)
    found = depth(frame(IMAGES[0], measured))
    assert (found.metric, found.source) == (True, "sensor")
    np.testing.assert_array_equal(found.values, measured)
    assert depth(frame(IMAGES[0])) is None
    depth.reset()


def test_estimators_by_name(relative, metric, monkeypatch, tmp_path):
    assert make_depth("off") is None
    with pytest.raises(ValueError, match="expected depth to be one of off, sensor, depth_anything_v2_small"):
        make_depth("magic")
    made = make_depth("depth_anything_v2_metric_indoor_small", weights=str(metric), side=56)
    assert made(frame(IMAGES[0])).source == "depth_anything_v2_metric_indoor_small"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    for name in DEPTHS:
        if name.startswith("depth_anything"):
            with pytest.raises(WeightsError, match=f"mambapose download {name.replace('_', '-')}"):
                make_depth(name)


def test_relative_weights_do_not_pass_for_metres(relative, metric):
    with pytest.raises(WeightsError, match="give relative depth"):
        make_depth("depth_anything_v2_metric_outdoor_small", weights=str(relative))
    with pytest.raises(WeightsError, match="give metric depth"):
        make_depth("depth_anything_v2_small", weights=str(metric))


@pytest.mark.parametrize("library", ["transformers", "torchvision"])
def test_a_missing_library_is_told_before_the_first_image(relative, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=f"depth_anything_v2_small.*{library}.*off and sensor remain"):
        make_depth("depth_anything_v2_small", weights=str(relative))


def test_other_sides_than_whole_patches_are_refused(relative):
    for side in (-14, 100):
        with pytest.raises(ValueError, match="multiple of 14"):
            make_depth("depth_anything_v2_small", weights=str(relative), side=side)
