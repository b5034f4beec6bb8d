from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

from mambapose_ros.errors import UserError
from mambapose_ros.nodes.launch_arguments import (
    CameraArguments,
    cameras_of,
    doubts,
    id_prefix,
    parameter_file,
    sim_time,
)

DEFAULTS = {"cameras": "", "namespace": "", "image_topic": "image", "camera_info_topic": "", "depth_topic": "depth"}


def cameras(pushed: str = "", **given: str) -> tuple[CameraArguments, ...]:
    return cameras_of({**DEFAULTS, **given}, pushed)


def test_one_camera_is_in_the_namespace_itself():
    assert cameras() == (CameraArguments("", "", "image", "camera_info", "depth"),)
    (camera,) = cameras(namespace="/robot/", image_topic="/cam/rgb/image_raw")
    assert camera == CameraArguments("", "/robot", "/cam/rgb/image_raw", "/cam/rgb/camera_info", "depth")
    assert camera.seen_from_above("camera_info") == "camera_info"
    (camera,) = cameras(camera_info_topic="/calibration")
    assert camera.camera_info == "/calibration"


def test_several_have_namespaces_and_topics_of_their_names():
    front, rear = cameras(cameras="front, rear_2", namespace="robot", image_topic="/{camera}/image_raw")
    assert front == CameraArguments("front", "robot/front", "/front/image_raw", "/front/camera_info", "depth")
    assert rear == CameraArguments("rear_2", "robot/rear_2", "/rear_2/image_raw", "/rear_2/camera_info", "depth")
    assert rear.seen_from_above("depth") == "rear_2/depth"
    assert rear.seen_from_above("/depth") == "/depth"


def test_ids_begin_with_the_namespace():
    assert id_prefix("/_odd/robot__2") == "odd_robot_2_"
    assert cameras()[0].id_prefix == ""
    assert cameras(namespace="/robot/")[0].id_prefix == "robot_"
    assert [camera.id_prefix for camera in cameras(cameras="front,rear")] == ["front_", "rear_"]
    assert cameras(cameras="front", namespace="fleet/robot1")[0].id_prefix == "fleet_robot1_front_"


def test_relative_topics_are_below_each_camera():
    for camera in cameras(cameras="front,rear", image_topic="color/image_raw"):
        assert camera.image == "color/image_raw"
        assert camera.camera_info == "color/camera_info"


def test_one_name_may_go_with_any_topic():
    (camera,) = cameras(cameras="front", image_topic="/usb_cam/image_raw")
    assert (camera.namespace, camera.image) == ("front", "/usb_cam/image_raw")


@pytest.mark.parametrize("names", ["front,", ",", "front,front", "front door", "1st", "a__b", "/front", "front,rear/2"])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(UserError, match="cameras: expected different names of letters, digits and _"):
        cameras(cameras=names)


@pytest.mark.parametrize("argument", ["image_topic", "camera_info_topic", "depth_topic"])
def test_topics_that_do_not_tell_cameras_apart_are_refused(argument):
    with pytest.raises(UserError, match=rf"{argument}: expected a topic for each of the cameras, .* got '/the/one'"):
        cameras(cameras="front,rear", **{argument: "/the/one"})
    with pytest.raises(UserError, match=rf"{argument}: .* there is none; give cameras"):
        cameras(**{argument: "/{camera}/some"})


def test_a_parameter_file_has_to_be_there(tmp_path):
    assert parameter_file({"params_file": ""}) == []
    file = tmp_path / "own.yaml"
    with pytest.raises(UserError, match=r"params_file: expected a YAML file of parameters, found none at .*own\.yaml"):
        parameter_file({"params_file": str(file)})
    file.touch()
    assert parameter_file({"params_file": str(file)}) == [str(file)]


def test_arguments_that_nobody_takes_are_doubted():
    documentation = Path(get_package_share_directory("mambapose_ros")) / "config" / "mambapose.yaml"
    (doubt,) = doubts(["imge_topic:=/camera/image", "namespace:=robot"], DEFAULTS, documentation)
    assert doubt == "argument imge_topic is none of this launch file; did you mean image_topic?"
    (doubt,) = doubts(["target_frame:=map"], DEFAULTS, documentation)
    assert "a parameter of its nodes" in doubt
    assert "params_file" in doubt
    # demo.launch.py, which includes ours, has camera_info_file.
    others = ["--noninteractive", "robot_model:=r2d2", "camera_info_file:=camera.yaml", "source:=0"]
    assert not doubts([*others, *(f"{name}:=" for name in DEFAULTS)], DEFAULTS, documentation)


def test_namespaces_pushed_by_other_launch_files_count():
    front, rear = cameras("/robot1", cameras="front,rear", namespace="head", image_topic="/{camera}/image_raw")
    assert (front.namespace, front.whole_namespace) == ("head/front", "/robot1/head/front")
    assert rear.id_prefix == "robot1_head_rear_"
    (camera,) = cameras("/robot1", namespace="/robot2")
    assert camera.id_prefix == "robot2_"


def test_time_is_left_to_files_unless_given():
    assert sim_time({"use_sim_time": ""}) == []
    assert sim_time({"use_sim_time": "true"}) == [{"use_sim_time": True}]
    assert sim_time({"use_sim_time": "false"}) == [{"use_sim_time": False}]
