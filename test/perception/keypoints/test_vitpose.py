"""ViTPose and RT-DETR with random weights, saved and loaded in the upstream's format."""

import pickle
import shutil

import numpy as np
import pytest
import torch

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import DetectorUnavailable, make_detector
from mambapose_ros.perception.keypoints.top_down import Crops
from mambapose_ros.perception.keypoints.vitpose import (
    PersonFinder,
    PoseNetwork,
    VitPoseDetector,
    box_around,
)
from mambapose_ros.skeleton import COCO_TO_H36M
from mambapose_ros.types import Frame, PersonKeypoints
from mambapose_ros.weights import WeightsError

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
FRAME = Frame(0, "camera", IMAGE, Camera.from_fov(160, 120))
BOXES = np.array([[10.0, 5.0, 60.0, 110.0], [70.0, 20.0, 150.0, 100.0], [-20.0, 30.0, 40.0, 140.0]])


def save_vitpose(folder, experts=1, joints=17):
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_experts=experts,
        part_features=8,
        out_indices=[2],
    )
    config = VitPoseConfig(backbone_config=backbone, num_labels=joints)
    model = VitPoseForPoseEstimation(config)
    # So that heatmaps differ from place to place and joint to joint.
    torch.nn.init.normal_(model.head.conv.weight, std=0.5)
    model.save_pretrained(folder)
    VitPoseImageProcessor().save_pretrained(folder)
    return folder


def save_rtdetr(folder, labels=("person", "bicycle", "car")):
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 24, 32],
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        decoder_in_channels=[32, 32, 32],
        decoder_layers=1,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        decoder_n_points=2,
        num_queries=20,
        num_denoising=0,
        id2label=dict(enumerate(labels)),
        label2id={name: index for index, name in enumerate(labels)},
    )
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 128, "width": 128}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pose_folder(tmp_path_factory):
    return save_vitpose(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture(scope="module")
def finder_folder(tmp_path_factory):
    return save_rtdetr(tmp_path_factory.mktemp("rtdetr"))


def upstream(folder, image, boxes):
    from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

    processor, model = VitPoseImageProcessor.from_pretrained(folder), VitPoseForPoseEstimation.from_pretrained(folder)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    inputs = processor(image, boxes=[xywh.tolist()], return_tensors="pt").pixel_values
    with torch.inference_mode():
        (people,) = processor.post_process_pose_estimation(model.eval()(inputs), boxes=[xywh])
    return inputs, np.stack([p["keypoints"] for p in people]), np.stack([p["scores"] for p in people])


def test_input_and_keypoints_are_those_of_the_upstream_pipeline(pose_folder):
    inputs, keypoints, scores = upstream(pose_folder, IMAGE, BOXES)
    network = PoseNetwork(pose_folder, "cpu")
    np.testing.assert_allclose(network.preprocess(IMAGE, Crops.around(BOXES, 192, 256)), inputs, atol=1e-5)
    xy, confidence = network(IMAGE, BOXES)
    np.testing.assert_allclose(confidence, scores.clip(0.0, 1.0), atol=1e-5)
    # Heatmaps of random weights are nearly flat in places, where a peak is ill-defined: there both may be anywhere.
    there = np.isfinite(xy).all(axis=-1) & (scores > 0.01)
    assert there.mean() > 0.5
    apart = np.linalg.norm(xy - keypoints, axis=-1)[there]
    assert np.quantile(apart, 0.9) < 0.01


def test_people_in_a_batch_are_those_one_by_one(pose_folder):
    network = PoseNetwork(pose_folder, "cpu")
    xy, confidence = network(IMAGE, BOXES)
    for index, box in enumerate(BOXES):
        alone, sure = network(IMAGE, box[None])
        np.testing.assert_allclose(sure[0], confidence[index], atol=1e-5)
        apart = np.linalg.norm(alone[0] - xy[index], axis=-1)
        assert np.nanquantile(apart, 0.9) < 0.01
    assert network(IMAGE, np.empty((0, 4)))[0].shape == (0, 17, 2)


def test_mixtures_of_experts_use_the_one_of_coco(tmp_path):
    xy, confidence = PoseNetwork(save_vitpose(tmp_path, experts=3), "cpu")(IMAGE, BOXES[:1])
    assert xy.shape == (1, 17, 2)
    assert ((confidence >= 0.0) & (confidence <= 1.0)).all()


def test_people_are_found_by_class_and_surest_first(finder_folder):
    from transformers import RTDetrForObjectDetection, RTDetrImageProcessor

    boxes = PersonFinder(finder_folder, "cpu")(IMAGE, least=0.0)
    processor = RTDetrImageProcessor.from_pretrained(finder_folder)
    model = RTDetrForObjectDetection.from_pretrained(finder_folder).eval()
    with torch.inference_mode():
        output = model(**processor(IMAGE, return_tensors="pt"))
    (found,) = processor.post_process_object_detection(output, 0.0, target_sizes=[IMAGE.shape[:2]])
    people = found["labels"] == 0
    assert 0 < people.sum() == len(boxes)
    expected = found["boxes"][people][found["scores"][people].argsort(descending=True)]
    np.testing.assert_allclose(boxes, expected - 0.5, atol=1e-3)


def test_boxes_follow_the_keypoints_between_searches(pose_folder, finder_folder):
    detector = VitPoseDetector(weights=str(pose_folder), finder_weights=str(finder_folder), find_every=4)
    searches, posed = [], []
    landmarks = np.random.default_rng(0).uniform((30.0, 20.0), (70.0, 100.0), (1, 17, 2))

    def find(image):
        searches.append(len(posed))
        return np.array([[20.0, 10.0, 80.0, 110.0]])

    def pose(image, boxes):
        posed.append(boxes)
        return landmarks + len(posed), np.full((1, 17), 0.9)

    detector._finder, detector._pose = find, pose
    for _ in range(6):
        (person,) = detector(FRAME)
    assert searches == [0, 4]
    np.testing.assert_allclose(posed[0], [[20.0, 10.0, 80.0, 110.0]])
    moved = PersonKeypoints(COCO_TO_H36M @ (landmarks[0] + 1), np.full(17, 0.9))
    np.testing.assert_allclose(posed[1], [box_around(moved, 160, 120)])
    np.testing.assert_allclose(person.xy, COCO_TO_H36M @ (landmarks[0] + 6))
    detector.reset()
    detector(FRAME)
    assert searches == [0, 4, 6]


def test_whom_the_finder_misses_is_followed_while_the_keypoints_are_sure(pose_folder, finder_folder):
    detector = VitPoseDetector(weights=str(pose_folder), finder_weights=str(finder_folder), find_every=2)
    left, right = np.array([20.0, 10.0, 60.0, 110.0]), np.array([90.0, 10.0, 130.0, 110.0])
    within = np.random.default_rng(0).uniform(0.1, 0.9, (17, 2))
    finds = [np.array([left, right]), np.array([right + 2.0]), np.array([right])]
    sure = {"left": 0.9}
    posed = []

    def pose(image, boxes):
        posed.append(len(boxes))
        centres = boxes[:, :2] + 0.5 * (boxes[:, 2:] - boxes[:, :2])
        places = [left if x < 75.0 else right for x in centres[:, 0]]
        xy = np.array([place[:2] + within * (place[2:] - place[:2]) for place in places])
        return xy, np.array([np.full(17, sure["left"] if place is left else 0.9) for place in places])

    detector._finder, detector._pose = lambda image: finds.pop(0), pose
    people = [len(detector(FRAME)) for _ in range(4)]
    assert people == [2, 2, 2, 2]  # the second search, before the third image, missed the one at the left
    assert posed == [2, 2, 2, 2]  # and the other, found again, is not looked at twice
    sure["left"] = 0.2
    assert [len(detector(FRAME)) for _ in range(2)] == [1, 1]
    assert posed == [2, 2, 2, 2, 2, 1]


def test_a_box_around_little_or_nothing_is_none():
    nobody = PersonKeypoints(np.full((17, 2), np.nan), np.zeros(17))
    assert box_around(nobody, 160, 120) is None
    outside = PersonKeypoints(np.random.default_rng(0).uniform(500, 600, (17, 2)), np.ones(17))
    assert box_around(outside, 160, 120) is None


def test_wrong_folders_are_refused_with_what_was_expected(tmp_path, pose_folder, finder_folder):
    with pytest.raises(DetectorUnavailable, match="vitpose"):
        make_detector("vitpose", weights=str(tmp_path / "nowhere"), finder_weights=str(finder_folder))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WeightsError, match=r"config\.json.*mambapose download vitpose-base-simple"):
        PoseNetwork(empty, "cpu")
    with pytest.raises(WeightsError, match=r"of type 'rt_detr'.*mambapose download vitpose-base-simple"):
        PoseNetwork(finder_folder, "cpu")
    with pytest.raises(WeightsError, match="17 keypoints"):
        PoseNetwork(save_vitpose(tmp_path / "hands", joints=21), "cpu")
    with pytest.raises(WeightsError, match="person"):
        PersonFinder(save_rtdetr(tmp_path / "cars", labels=("car", "bus")), "cpu")


@pytest.fixture(params=[PoseNetwork, PersonFinder])
def network(request, tmp_path, pose_folder, finder_folder):
    """A network, a copy of its folder, and the command that fetches it."""
    whole, model = {
        PoseNetwork: (pose_folder, "vitpose-base-simple"),
        PersonFinder: (finder_folder, "rtdetr-r18"),
    }[request.param]
    return request.param, shutil.copytree(whole, tmp_path / "copy"), f"run `mambapose download {model}`"


def test_weights_that_lack_parameters_are_refused(network):
    from safetensors.torch import load_file, save_file

    kind, folder, remedy = network
    tensors = load_file(folder / "model.safetensors")
    kept = sorted(tensors)[::2]
    save_file({name: tensors[name] for name in kept}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=f"{folder}: expected .*parameters lack or do not fit: .*{remedy}"):
        kind(folder, "cpu")


def test_weights_that_are_cut_are_refused(network):
    kind, folder, remedy = network
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=f"{folder}: expected .*cannot be loaded.*{remedy}"):
        kind(folder, "cpu")


class Malice:
    def __reduce__(self):
        return open, ("unpickled", "w")


@pytest.mark.parametrize("benign", [True, False])
def test_nothing_is_unpickled(network, benign, monkeypatch):
    from safetensors.torch import load_file

    kind, folder, remedy = network
    monkeypatch.chdir(folder)
    if benign:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malice()))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=f"{folder}: expected .*cannot be loaded.*{remedy}"):
        kind(folder, "cpu")
    assert not (folder / "unpickled").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU: ViTPose on it against the CPU")
def test_gpu_gives_what_the_cpu_gives(pose_folder):
    expected, sure = PoseNetwork(pose_folder, "cpu")(IMAGE, BOXES)
    xy, confidence = PoseNetwork(pose_folder, "cuda")(IMAGE, BOXES)
    np.testing.assert_allclose(confidence, sure, atol=1e-3)
    assert np.nanquantile(np.linalg.norm(xy - expected, axis=-1), 0.8) < 0.5
