import pytest
from bag_samples import CAMERA, TYPES, camera_info, image, write

from mambapose_ros.bags import BagError, BagReader, find_cameras
from mambapose_ros.bags.message_types import COMPRESSED_IMAGE, IMAGE


def test_one_topic_of_each_camera_is_chosen(tmp_path):
    jpeg = TYPES.CompressedImage(format="jpeg")
    messages = [
        ("/a/annotated", image()),
        ("/a/image_color", image()),
        ("/a/image_raw/compressed", jpeg),
        ("/a/image_raw", image()),
        ("/a/camera_info", camera_info(CAMERA)),
        ("/a/depth/image_raw", image("16UC1")),
        ("/a/depth/image_raw/compressedDepth", TYPES.CompressedImage(format="16UC1; compressedDepth png")),
        ("/b/image/compressed", jpeg),
        ("/b/image/camera_info", camera_info(CAMERA)),
        ("/image", image("mono8")),
        ("/drawn/annotated", image()),
        ("/talk", TYPES.Header()),
    ]
    write(tmp_path / "bag", messages)
    with BagReader(tmp_path / "bag") as bag:
        cameras = find_cameras(bag, TYPES)
        found = [(camera.namespace, camera.image, camera.camera_info) for camera in cameras]
        assert found == [
            ("/a", "/a/image_raw", "/a/camera_info"),
            ("/b", "/b/image/compressed", "/b/image/camera_info"),
            ("", "/image", ""),
        ]
        assert [camera.image_type for camera in cameras] == [IMAGE, COMPRESSED_IMAGE, IMAGE]
        (one,) = find_cameras(bag, TYPES, ["/a/image_color", "/a/image_color"])
        assert (one.image, one.camera_info) == ("/a/image_color", "/a/camera_info")
        with pytest.raises(BagError, match="both be /a/keypoints"):
            find_cameras(bag, TYPES, ["/a/image_color", "/a/image_raw"])
        with pytest.raises(BagError, match="got '16UC1'; image topics of this bag: /a/annotated, "):
            find_cameras(bag, TYPES, ["/a/depth/image_raw"])
        with pytest.raises(BagError, match="got depth"):
            find_cameras(bag, TYPES, ["/a/depth/image_raw/compressedDepth"])


def test_a_bag_without_cameras_says_what_it_has(tmp_path):
    write(tmp_path / "bag", [("/talk", TYPES.Header()), ("/depth", image("32FC1"))])
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError) as complaint:
        find_cameras(bag, TYPES)
    assert "/talk (std_msgs/msg/Header)" in str(complaint.value)
    assert "; /depth: expected one of the encodings rgb8, " in str(complaint.value)
    assert str(complaint.value).endswith("got '32FC1'")
