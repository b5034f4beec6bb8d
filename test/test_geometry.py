import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.geometry import Camera, CameraError, load_camera, solve_root
from mambapose_ros.synthetic import SyntheticScene

K = np.array([[500.0, 0.0, 320.0], [0.0, 505.0, 240.0], [0.0, 0.0, 1.0]])
LENSES = {
    "none": ("plumb_bob", []),
    "plumb_bob": ("plumb_bob", [-0.3, 0.1, 0.001, 0.002, 0.01]),
    "rational_polynomial": ("rational_polynomial", [0.1, -0.05, 0.001, 0.0005, 0.01, 0.2, -0.02, 0.01]),
    "equidistant": ("equidistant", [0.01, -0.02, 0.003, 0.001]),
}


def camera_of(lens: str) -> Camera:
    model, D = LENSES[lens]
    return Camera(640, 480, K, model, np.array(D))


@pytest.mark.parametrize("lens", LENSES)
@given(x=st.floats(-0.5, 0.5), y=st.floats(-0.4, 0.4), z=st.floats(0.2, 50.0))
def test_rays_undo_projection(lens, x, y, z):
    camera = camera_of(lens)
    rays = camera.rays(camera.project(np.array([[x * z, y * z, z]])))
    np.testing.assert_allclose(rays, [[x, y]], atol=1e-7)


def test_projection_without_distortion_is_the_pinhole_formula():
    camera = camera_of("none")
    np.testing.assert_allclose(camera.project(np.array([0.4, -0.2, 2.0])), [320 + 100, 240 - 50.5])


def test_distortion_moves_pixels_the_way_the_model_says():
    # plumb_bob with k1 alone: x' = x (1 + k1 r^2)
    camera = Camera(640, 480, K, "plumb_bob", np.array([-0.2, 0, 0, 0, 0]))
    x = 0.3
    np.testing.assert_allclose(camera.project(np.array([x, 0, 1.0]))[0], 320 + 500 * x * (1 - 0.2 * x**2))
    # equidistant without coefficients' effect: radius = f * angle
    fisheye = Camera(640, 480, K, "equidistant", np.zeros(4))
    np.testing.assert_allclose(fisheye.project(np.array([1.0, 0, 1.0]))[0], 320 + 500 * math.pi / 4)


@pytest.mark.parametrize("lens", LENSES)
def test_points_behind_the_camera_have_no_pixel(lens):
    pixels = camera_of(lens).project(np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.1, 0.1, 1.0]]))
    assert np.isnan(pixels[:2]).all()
    assert np.isfinite(pixels[2]).all()


@pytest.mark.parametrize("lens", LENSES)
def test_missing_pixels_stay_missing_and_shapes_stay(lens):
    pixels = np.full((2, 17, 2), 100.0)
    pixels[1, 3] = np.nan
    rays = camera_of(lens).rays(pixels)
    assert rays.shape == (2, 17, 2)
    assert np.isnan(rays[1, 3]).all()
    assert np.isfinite(np.delete(rays.reshape(-1, 2), 20, axis=0)).all()


@given(st.integers(64, 4096), st.integers(64, 4096), st.floats(0.4, 2.0))
def test_resized_camera_sees_the_same_rays(width, height, fov):
    camera = Camera.from_fov(640, 480, fov)
    resized = camera.resized(width, height)
    corner, resized_corner = np.array([-0.5, -0.5]), np.array([639.5, 479.5])
    np.testing.assert_allclose(resized.rays(np.array([-0.5, -0.5])), camera.rays(corner), atol=1e-9)
    np.testing.assert_allclose(
        resized.rays(np.array([width - 0.5, height - 0.5])), camera.rays(resized_corner), atol=1e-9
    )


def test_field_of_view_is_the_angle_between_the_outer_borders():
    camera = Camera.from_fov(640, 480, math.radians(90))
    left, right = camera.rays(np.array([[-0.5, 0.0], [639.5, 0.0]]))[:, 0]
    assert math.degrees(math.atan(right) - math.atan(left)) == pytest.approx(90, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 480, K), "positive image size"),
        ((640, 480, np.zeros((3, 3))), "positive focal lengths"),
        ((640, 480, np.full((3, 3), np.nan)), "finite"),
        ((640, 480, np.eye(2)), "9 finite numbers"),
        ((640, 480, K, "kannala"), "distortion model"),
        ((640, 480, K, "plumb_bob", np.zeros(3)), "coefficients"),
        ((640, 480, K, "plumb_bob", np.full(5, np.inf)), "finite distortion"),
    ],
)
def test_impossible_cameras_are_refused_with_what_was_expected(arguments, expected):
    with pytest.raises(CameraError, match=expected):
        Camera(*arguments)


CALIBRATION = """
image_width: 640
image_height: 480
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0.0, 320.0, 0.0, 505.0, 240.0, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0.002, 0.01]}
"""


def test_reads_what_camera_calibration_writes(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION)
    assert load_camera(path) == camera_of("plumb_bob")


@pytest.mark.parametrize(
    "content",
    ["", "a: [", "- 1", "image_width: 640", CALIBRATION.replace("640", "x"), CALIBRATION.replace("500.0", "0.0")],
)
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(CameraError, match=r"broken\.yaml"):
        load_camera(path)


def test_missing_camera_file_is_named(tmp_path):
    with pytest.raises(CameraError, match=r"nowhere\.yaml"):
        load_camera(tmp_path / "nowhere.yaml")


# --- root solve ---------------------------------------------------------------------------------------------------

POSE = np.random.default_rng(3).normal(0.0, (0.25, 0.5, 0.2), (17, 3))
POSE -= POSE[0]


@pytest.mark.parametrize("lens", LENSES)
@given(x=st.floats(-1.0, 1.0), y=st.floats(-0.5, 0.5), z=st.floats(4.0, 9.0))
def test_root_is_found_exactly_through_every_lens(lens, x, y, z):
    camera, root = camera_of(lens), np.array([x, y, z])
    solution = solve_root(camera, camera.project(POSE + root), POSE, np.ones(17))
    np.testing.assert_allclose(solution.position, root, atol=1e-5)
    assert solution.problem == ""


def test_pixels_that_no_ray_leads_to_have_none():
    pinhole = [[200.0, 0.0, 319.5], [0.0, 200.0, 239.5], [0.0, 0.0, 1.0]]
    fisheye = Camera(640, 480, pinhole, "equidistant", np.zeros(4))
    pixels = np.array([[319.5 + 200.0 * np.radians(angle), 239.5] for angle in (0.0, 60.0, 80.0, 88.0, 91.0)])
    rays = fisheye.rays(pixels)
    np.testing.assert_allclose(np.degrees(np.arctan(rays[:3, 0])), [0.0, 60.0, 80.0], atol=1e-4)
    assert np.isnan(rays[3:]).all()
    # This lens bends rays back from 0.98 on: nothing is seen beyond 322 pixels from the middle.
    lens = Camera(640, 480, [[400.0, 0.0, 319.5], [0.0, 400.0, 239.5], [0.0, 0.0, 1.0]], "plumb_bob", [-0.35, 0, 0, 0])
    rays = lens.rays([[500.0, 239.5], [560.0, 239.5], [600.0, 239.5]])
    np.testing.assert_allclose(lens.project(np.c_[rays[:2], np.ones(2)])[:, 0], [500.0, 560.0], atol=1e-3)
    assert np.isnan(rays[2]).all()


def test_a_person_at_the_edge_of_a_fisheye_lens_is_placed_by_the_joints_it_shows():
    camera = Camera(640, 480, [[200.0, 0.0, 319.5], [0.0, 200.0, 239.5], [0.0, 0.0, 1.0]], "equidistant", np.zeros(4))
    angle = np.radians(83.0)
    root = 3.0 * np.array([np.sin(angle), 0.0, np.cos(angle)])
    keypoints = camera.project(POSE + root)
    unseen = np.isnan(camera.rays(keypoints)).any(axis=1)
    assert 0 < unseen.sum() < 12
    np.testing.assert_allclose(solve_root(camera, keypoints, POSE, np.ones(17)).position, root, atol=0.01)


def synthetic_people() -> list[tuple[Camera, np.ndarray]]:
    """Cameras and joints (17, 3) of bodies of several statures in several poses."""
    scenes = [
        SyntheticScene(motion=motion, people=1, seed=seed) for seed, motion in enumerate(("walk", "squat", "reach"))
    ]
    return [(frame.camera, frame.joints[0]) for scene in scenes for frame in map(scene.render, (0, 20, 40))]


def test_synthetic_people_are_placed_within_a_centimetre():
    for camera, joints in synthetic_people():
        solution = solve_root(camera, camera.project(joints), joints - joints[0], np.ones(17))
        assert np.linalg.norm(solution.position - joints[0]) < 0.01


def test_three_pixels_of_noise_at_three_metres_cost_less_than_six_centimetres():
    camera = Camera(640, 480, [[600, 0, 319.5], [0, 600, 239.5], [0, 0, 1]])
    rng = np.random.default_rng(0)
    errors = []
    for _, joints in synthetic_people():
        relative, root = joints - joints[0], np.array([0.1, 0.0, 3.0])
        for _ in range(20):
            noisy = camera.project(relative + root) + rng.normal(0, 3, (17, 2))
            errors.append(np.linalg.norm(solve_root(camera, noisy, relative, np.ones(17)).position - root))
    assert np.median(errors) < 0.06


def test_reprojection_agrees_with_the_keypoints_and_outliers_hardly_matter():
    camera, root = camera_of("plumb_bob"), np.array([0.3, -0.1, 4.0])
    keypoints = camera.project(POSE + root)
    keypoints[5] += (80.0, -60.0)
    solution = solve_root(camera, keypoints, POSE, np.ones(17))
    np.testing.assert_allclose(solution.position, root, atol=0.03)
    others = np.arange(17) != 5
    assert np.abs(camera.project(POSE + solution.position) - keypoints)[others].max() < 3.0


@pytest.mark.parametrize("joint", [3, 10, 16])
@pytest.mark.parametrize("place", [(640.0, 300.0), (1000.0, 200.0), (2000.0, 300.0), (-9000.0, 4e4), (1e7, 1e7)])
def test_one_joint_that_is_anywhere_hardly_matters(joint, place):
    camera, root = camera_of("none"), np.array([0.1, 0.0, 3.3])
    rng = np.random.default_rng(0)
    errors = []
    for _, joints in synthetic_people():
        keypoints = camera.project(joints - joints[0] + root) + rng.normal(0.0, 2.0, (17, 2))
        without = solve_root(camera, keypoints, joints - joints[0], np.arange(17) != joint).position
        keypoints[joint] = place
        errors.append(np.linalg.norm(solve_root(camera, keypoints, joints - joints[0], np.ones(17)).position - without))
    assert np.max(errors) < 0.03


def test_weights_of_zero_and_missing_joints_are_not_used():
    camera, root = camera_of("none"), np.array([0.3, -0.1, 4.0])
    keypoints, weights = camera.project(POSE + root), np.ones(17)
    keypoints[3], weights[3] = (9000.0, -9000.0), 0.0
    keypoints[7] = np.nan
    np.testing.assert_allclose(solve_root(camera, keypoints, POSE, weights).position, root, atol=1e-6)


def test_two_joints_are_enough():
    camera, root, weights = camera_of("none"), np.array([0.3, -0.1, 4.0]), np.zeros(17)
    weights[[2, 10]] = 1.0
    np.testing.assert_allclose(solve_root(camera, camera.project(POSE + root), POSE, weights).position, root, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda keypoints, pose, weights: weights.fill(0.0), "fewer than two"),
        (lambda keypoints, pose, weights: keypoints[1:].fill(np.nan), "fewer than two"),
        (lambda keypoints, pose, weights: keypoints.fill(100.0), "one ray"),
        (lambda keypoints, pose, weights: pose.fill(0.0), "one ray"),
        (lambda keypoints, pose, weights: np.negative(pose, out=pose), "behind the camera"),
    ],
)
def test_what_cannot_be_solved_says_why(change, problem):
    camera, weights = camera_of("none"), np.ones(17)
    pose = POSE * (1.0, 1.0, 0.0)  # flat, so that its mirror image is a body behind the camera and nothing else
    keypoints = camera.project(pose + (0.0, 0.0, 3.0))
    change(keypoints, pose, weights)
    solution = solve_root(camera, keypoints, pose, weights)
    assert problem in solution.problem
    assert np.isnan(solution.position).all()


@given(st.integers(0, 10_000))
def test_any_input_is_solved_or_refused(seed):
    rng = np.random.default_rng(seed)
    keypoints, pose = rng.normal(0, 10 ** rng.uniform(-2, 4), (17, 2)), rng.normal(0, 10 ** rng.uniform(-3, 2), (17, 3))
    keypoints[rng.random(17) < 0.3] = np.nan
    solution = solve_root(camera_of("rational_polynomial"), keypoints, pose, rng.random(17))
    assert bool(solution.problem) == np.isnan(solution.position).any()
