"""Scenes: the truth that comes with a frame is the truth, and wrong arguments are refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.synthetic import MOTIONS, SyntheticFrame, SyntheticScene

PIXELS = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)


def small(**arguments) -> SyntheticScene:
    return SyntheticScene(**{"width": 320, "height": 240, **arguments})


def joint_pixels(frame: SyntheticFrame) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, 2) of the visible joints, and their pixels u, v (n, 2)."""
    visible = np.argwhere(frame.visibility)
    return visible, np.round(frame.keypoints[frame.visibility]).astype(int)


@pytest.mark.parametrize("motion", MOTIONS)
def test_arrays_and_projection(motion):
    frame = small(motion=motion, people=2).render(7)
    assert (frame.image.shape, frame.image.dtype) == ((240, 320, 3), np.uint8)
    assert (frame.joints.shape, frame.joints.dtype) == ((2, 17, 3), np.float64)
    assert (frame.visibility.shape, frame.visibility.dtype) == ((2, 17), bool)
    assert (frame.depth.shape, frame.depth.dtype) == ((240, 320), np.float32)
    assert (frame.flow.shape, frame.flow.dtype) == ((240, 320, 2), np.float32)
    assert (frame.flow_valid.shape, frame.flow_valid.dtype) == ((240, 320), bool)
    assert np.isfinite(frame.flow).all()
    assert (frame.depth > 0.0).all()
    assert frame.stamp_ns == round(7e9 / 30)
    np.testing.assert_allclose(frame.keypoints, frame.camera.project(frame.joints), atol=1e-9)


@pytest.mark.parametrize("motion", MOTIONS)
def test_depth_at_a_joint_is_that_of_the_flesh_around_it(motion):
    scene = small(motion=motion, seed=1)
    for index in (0, 31, 62):
        frame = scene.render(index)
        (person, joint), (u, v) = (a.T for a in joint_pixels(frame))
        behind_surface = frame.joints[person, joint, 2] - frame.depth[v, u]
        on_body = joint != JOINT_INDEX["neck"]  # Under the chin, a ray to it may pass the body.
        assert (behind_surface[on_body] > -0.02).all()
        assert (behind_surface < 0.25).all()
        assert len(person) >= 9


def test_people_who_are_not_seen_at_all_are_not_among_the_people():
    frame = small(people=2).render(0)
    assert len(frame.people) == 2
    for person, xy, visible in zip(frame.people, frame.keypoints, frame.visibility, strict=True):
        np.testing.assert_array_equal(person.xy, xy)
        np.testing.assert_array_equal(person.confidence, np.where(visible, 1.0, 0.3))
    beside = replace(frame, keypoints=frame.keypoints + [[[320.0, 0.0]], [[0.0, 0.0]]])
    (person,) = beside.people
    np.testing.assert_array_equal(person.xy, frame.keypoints[1])


def test_the_same_arguments_give_the_same_frames_in_any_order():
    one, other = (small(motion="run", people=2, seed=5, moving_camera=True) for _ in range(2))
    forwards = [one.render(i) for i in range(4)]
    for index in (3, 0, 2, 1):
        a, b = forwards[index], other.render(index)
        for name in ("image", "depth", "flow", "flow_valid", "joints", "visibility"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_seeds_differ():
    a, b = (small(seed=seed).render(0) for seed in (0, 1))
    assert (a.image != b.image).mean() > 0.5


def test_a_still_camera_sees_a_still_room():
    scene = small(motion="wave")
    frame = scene.render(3)
    moved = np.abs(frame.flow).max(axis=-1) > 0.0
    assert 0.01 < moved.mean() < 0.3
    assert not moved[:, :40].any()
    assert frame.flow_valid[:, :40].all()


def test_a_planted_foot_does_not_flow():
    """Somebody who squats moves the hips over feet that stay."""
    scene = small(motion="squat")
    hips = []
    for index in range(0, 100, 10):
        frame = scene.render(index)
        pixels = np.round(frame.keypoints[0]).astype(int)
        for side in ("left", "right"):
            u, v = pixels[JOINT_INDEX[f"{side}_ankle"]]
            np.testing.assert_allclose(frame.flow[v + 4, u], 0.0, atol=1e-3)
        u, v = pixels[JOINT_INDEX["pelvis"]]
        hips.append(frame.flow[v, u, 1])
    assert max(hips) > 0.5
    assert min(hips) < -0.5


def test_flow_of_the_floor_under_a_moving_camera():
    """Against the homography of the floor between two camera poses."""
    scene = small(motion="idle", moving_camera=True)
    frame = scene.render(10)

    def floor_to_pixel(index: int) -> np.ndarray:
        to_camera = scene._camera_pose(index / scene.fps)
        return frame.camera.K @ to_camera[:3][:, [0, 1, 3]]

    backwards = floor_to_pixel(9) @ np.linalg.inv(floor_to_pixel(10))
    before = cv2.perspectiveTransform(PIXELS.reshape(1, -1, 2), backwards).reshape(240, 320, 2)
    corner = np.s_[225:, :60]  # Floor, with nobody on it.
    np.testing.assert_allclose(frame.flow[corner], (PIXELS - before)[corner], atol=2e-3)
    assert np.abs(frame.flow[corner]).max() > 0.1


def test_depth_of_the_floor():
    scene = small(motion="idle", moving_camera=True)
    frame = scene.render(10)
    rays = np.concatenate([frame.camera.rays(PIXELS), np.ones((240, 320, 1))], axis=-1)
    to_camera = scene._camera_pose(10 / scene.fps)
    world = (rays * frame.depth[..., None] - to_camera[:3, 3]) @ to_camera[:3, :3]
    np.testing.assert_allclose(world[225:, :60, 2], 0.0, atol=1e-4)
    assert world[..., 2].min() > -1e-3


@pytest.mark.parametrize("moving_camera", [False, True])
@pytest.mark.parametrize("motion", ["walk", "wave", "turn"])
def test_flow_brings_the_last_picture_to_this_one(motion, moving_camera):
    scene = SyntheticScene(motion=motion, seed=2, moving_camera=moving_camera)
    before, now = scene.render(20), scene.render(21)
    x, y = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(480, dtype=np.float32))
    warped = cv2.remap(before.image, x - now.flow[..., 0], y - now.flow[..., 1], cv2.INTER_LINEAR)
    moving = now.flow_valid & (np.abs(now.flow).max(axis=-1) > 0.5)
    assert np.count_nonzero(moving) > 300

    def difference(image: np.ndarray) -> float:
        return float(np.abs(image.astype(float) - now.image)[moving].mean())

    assert difference(warped) < 6.0
    assert difference(warped) < 0.6 * difference(before.image)


def test_flow_is_exact_for_the_first_frame_too():
    scene = small(motion="walk")
    assert np.abs(scene.render(0).flow).max() > 0.5


def test_what_the_person_uncovers_has_no_valid_flow():
    frame = small(motion="run").render(5)
    hidden = ~frame.flow_valid
    assert 0 < np.count_nonzero(hidden) < 0.05 * hidden.size


def test_others_hide_joints():
    scene = small(motion=["idle", "walk"], people=2, seed=1)
    hidden = 0
    for index in range(0, 240, 12):
        frame = scene.render(index)
        (u, v), z = np.round(frame.keypoints[1]).astype(int).T, frame.joints[1, :, 2]
        inside = (u >= 0) & (u < 320) & (v >= 0) & (v < 240)
        # More than a body's thickness in front of a joint is the other person.
        covered = inside & (frame.depth[v.clip(0, 239), u.clip(0, 319)] < z - 0.6)
        assert not frame.visibility[1][covered].any()
        hidden += np.count_nonzero(covered)
    assert hidden > 0


def test_the_far_side_of_a_body_is_hidden():
    scene = small(motion="turn", seed=0)
    seen = np.array([scene.render(i).visibility[0] for i in range(0, 200, 10)])
    for side in ("left", "right"):
        for joint in ("shoulder", "hip", "elbow"):
            share = seen[:, JOINT_INDEX[f"{side}_{joint}"]].mean()
            assert 0.3 < share < 1.0, (side, joint, share)
    assert seen[:, JOINT_INDEX["head"]].all()


def test_joints_outside_the_image_are_not_visible():
    camera = Camera(320, 240, np.array([[270.0, 0, 160], [0, 270.0, -90.0], [0, 0, 1]]))
    frame = small(motion="idle", camera=camera).render(0)
    assert (frame.keypoints[0, :, 1] < 0).any()
    assert not frame.visibility[0][frame.keypoints[0, :, 1] < -0.5].any()


@pytest.mark.parametrize("fov", [0.5, 1.9])
def test_people_fill_the_picture_of_any_lens(fov):
    camera = Camera.from_fov(320, 240, fov)
    frame = small(motion="wave", camera=camera).render(0)
    height = np.ptp(frame.keypoints[0, :, 1])
    assert 90 < height < 220
    assert ((frame.keypoints[0] > 0) & (frame.keypoints[0] < (320, 240))).all()


@pytest.mark.parametrize("motion", ["walk", "run", "idle", ["sit", "run", "walk", "wave"]])
def test_nobody_walks_through_another(motion):
    people = 4
    scene = small(motion=motion, people=people, seed=3)
    for index in range(0, 200, 25):
        pelvis = scene.render(index).joints[:, 0]
        apart = np.linalg.norm(pelvis[:, None] - pelvis[None], axis=-1)[~np.eye(people, dtype=bool)]
        assert apart.min() > 0.6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"motion": "fly"}, "walk, run"),
        ({"motion": ["walk"], "people": 2}, "each of 2 people"),
        ({"people": 0}, "1 to 4 people, got 0"),
        ({"people": 5}, "1 to 4 people, got 5"),
        ({"width": 0}, "32x32"),
        ({"height": -1}, "32x32"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"seed": -1}, "seed"),
        ({"camera": Camera.from_fov(100, 100)}, "100x100"),
        ({"camera": Camera.from_fov(640, 480, 0.01)}, "lens"),
        ({"camera": Camera(640, 480, Camera.from_fov(640, 480).K, D=np.full(5, 0.1))}, "distortion"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(ValueError, match="expected") as caught:
        SyntheticScene(**arguments)
    assert words in str(caught.value)
