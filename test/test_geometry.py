import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.geometry import Camera, CameraError, load_camera

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
    np.testing.assert_allclose(resized.rays(np.array([width - 0.5, height - 0.5])), camera.rays(resized_corner), atol=1e-9)


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
    "content", ["", "a: [", "- 1", "image_width: 640", CALIBRATION.replace("640", "x"), CALIBRATION.replace("500.0", "0.0")]
)
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(CameraError, match=r"broken\.yaml"):
        load_camera(path)


def test_missing_camera_file_is_named(tmp_path):
    with pytest.raises(CameraError, match=r"nowhere\.yaml"):
        load_camera(tmp_path / "nowhere.yaml")
