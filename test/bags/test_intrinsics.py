import numpy as np
import pytest
from bag_samples import CAMERA, SECOND, TYPES, camera_info, image, write

from mambapose_ros.bags import BagReader, find_cameras, read_intrinsics
from mambapose_ros.geometry import Camera


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_intrinsics_are_those_said_last_before_the_image(storage, tmp_path):
    wide, narrow = Camera.from_fov(64, 48, 1.5), Camera.from_fov(64, 48, 0.5)
    broken = camera_info(CAMERA, 3 * SECOND)
    broken.k = np.zeros(9)
    messages = [
        ("/image", image()),
        ("/camera_info", camera_info(wide, 2 * SECOND)),
        ("/camera_info", camera_info(wide, 3 * SECOND)),
        ("/camera_info", broken),
        ("/camera_info", camera_info(narrow, 5 * SECOND)),
    ]
    write(tmp_path / "bag", messages, storage)
    with BagReader(tmp_path / "bag") as bag:
        intrinsics = read_intrinsics(bag, TYPES, find_cameras(bag, TYPES))["/image"]
    assert len(intrinsics.cameras) == 2
    assert intrinsics.at(0, 64, 48) == (wide, "")  # the first images came before the first camera_info
    assert intrinsics.at(2 * SECOND, 64, 48) == (wide, "")
    assert intrinsics.at(5 * SECOND - 1, 64, 48) == (wide, "")
    assert intrinsics.at(5 * SECOND, 64, 48) == (narrow, "")
    camera, problem = intrinsics.at(0, 32, 24)
    assert camera.assumed
    assert problem == "expected a camera_info for 32x24, the image's size, got 64x48"


def test_of_rectified_images_the_rectified_camera_is_read(tmp_path):
    info = camera_info(CAMERA)
    info.p = np.array([30.0, 0.0, 32.0, 0.0, 0.0, 30.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    write(tmp_path / "bag", [("/front/image_rect", image()), ("/front/camera_info", info)])
    with BagReader(tmp_path / "bag") as bag:
        camera, problem = read_intrinsics(bag, TYPES, find_cameras(bag, TYPES))["/front/image_rect"].at(0, 64, 48)
    assert (camera.K[0, 0], problem) == (30.0, "")


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        ([], "beside the images"),
        ([TYPES.CameraInfo(width=64, height=48)], "K is all zero"),
        ([TYPES.CameraInfo(width=64, height=48, k=np.eye(3).reshape(-1), distortion_model="magic")], "'magic'"),
    ],
)
def test_a_camera_that_says_nothing_of_use_is_assumed(infos, expected, tmp_path):
    write(tmp_path / "bag", [("/image", image()), *(("/camera_info", info) for info in infos)])
    with BagReader(tmp_path / "bag") as bag:
        camera, problem = read_intrinsics(bag, TYPES, find_cameras(bag, TYPES))["/image"].at(0, 64, 48)
    assert camera == Camera.from_fov(64, 48, assumed=True)
    assert expected in problem
