"""What a camera says of itself, and what is taken instead while it says nothing of use."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.messages import camera_from_info


class Intrinsics:
    """The newest intrinsics of a camera, or assumed ones.

    Attributes:
        rectified: whether they are to be those of its rectified images; holds for what comes from now on.
        problem: why they were assumed when last asked for; empty when they were not.
    """

    def __init__(self, rectified: bool = False) -> None:
        self.rectified = rectified
        self.problem = ""
        self._camera: Camera | None = None
        self._why_none = "no camera_info came yet"

    def put(self, message: CameraInfo) -> None:
        """A camera tells its intrinsics."""
        try:
            self._camera = camera_from_info(message, self.rectified)
        except CameraError as error:
            self._camera, self._why_none = None, str(error)

    def at(self, width: int, height: int) -> Camera:
        """Those of images of this size."""
        camera = self._camera
        if camera is not None and (camera.width, camera.height) == (width, height):
            self.problem = ""
            return camera
        self.problem = self._why_none
        if camera is not None:
            self.problem = (
                f"expected a camera_info for {width}x{height}, the image's size, got {camera.width}x{camera.height}"
            )
        return Camera.from_fov(width, height, assumed=True)
