"""The messages of a bag without ROS: their classes, their bytes and their definitions."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mambapose_ros.bags.errors import BagError
from mambapose_ros.image_encoding import ImageError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
PERSON_KEYPOINTS_ARRAY = "mambapose_ros/msg/PersonKeypointsArray"
SKELETON_ARRAY = "mambapose_ros/msg/SkeletonArray"
MARKER_ARRAY = "visualization_msgs/msg/MarkerArray"


class MessageTypes:
    """Classes of messages by their names (``types.Skeleton``), used as ROS's are: fields left out are zero or empty.

    Only those of the packages that this package deals with. Messages are written and read in CDR, as DDS sends them.

    Raises:
        BagError: when the .msg files of this package are not where the package was installed.
    """

    def __init__(self) -> None:
        self._store = _typestore()
        packages = ("builtin_interfaces", "std_msgs", "geometry_msgs", "sensor_msgs", "visualization_msgs")
        self._names = {
            name.rpartition("/")[2]: name
            for package in (*packages, "mambapose_ros")
            for name in self._store.fielddefs
            if name.startswith(f"{package}/")
        }
        self._classes: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"expected the name of a message, as Skeleton or Header, got {name!r}")
        if name not in self._classes:
            self._classes[name] = self._class(name)
        return self._classes[name]

    def read(self, data: bytes, type_name: str) -> Any:
        """A message from its bytes.

        Raises:
            ImageError: when they are not such a message; its cause is "corrupt message".
        """
        try:
            return self._store.deserialize_cdr(data, type_name)
        except (SerdeError, IndexError, AssertionError, MemoryError) as error:
            raise ImageError("corrupt message", f"expected a {type_name}, got {len(data)} bytes: {error}") from error

    def write(self, message: Any) -> memoryview:
        """The bytes of a message, little-endian on every machine."""
        return self._store.serialize_cdr(message, message.__msgtype__, little_endian=True)

    def definition(self, type_name: str) -> tuple[str, str]:
        """Text and hash (REP-2011) of a type, for whoever reads a bag without having the type."""
        return self._store.generate_msgdef(type_name, ros_version=2)[0], self._store.hash_rihs01(type_name)

    def _class(self, name: str) -> Any:
        type_name = self._names[name]
        base: Any = self._store.types[type_name]
        fields = dict(self._store.fielddefs[type_name][1])

        def __init__(self_: Any, **values: Any) -> None:
            if unknown := values.keys() - fields.keys():
                raise TypeError(f"expected fields of {type_name} ({', '.join(fields)}), got {sorted(unknown)}")
            base.__init__(self_, **{field: self._value(kind, values.get(field)) for field, kind in fields.items()})

        return type(name, (base,), {"__init__": __init__})

    def _value(self, kind: Any, given: Any) -> Any:
        node, detail = kind
        if node == Nodetype.NAME:
            return getattr(self, detail.rpartition("/")[2])() if given is None else given
        if node == Nodetype.BASE:
            return _ZEROS.get(detail[0], 0) if given is None else given
        element, count = detail
        if element[0] == Nodetype.BASE and element[1][0] != "string":
            length = count if node == Nodetype.ARRAY else 0
            return np.array(np.zeros(length) if given is None else given, dtype=element[1][0])
        if given is None:
            return [self._value(element, None) for _ in range(count if node == Nodetype.ARRAY else 0)]
        return list(given)


_ZEROS = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


@cache
def _typestore() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    definitions: dict[str, Any] = {}
    for path in sorted(_message_folder().glob("*.msg")):
        definitions.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"mambapose_ros/msg/{path.stem}"))
    store.register(definitions)
    return store


def _message_folder() -> Path:
    """Where this package's .msg files are: in a checkout, or in the share folder of an install space."""
    here = Path(__file__).resolve()
    installed = (parent / "share" / "mambapose_ros" / "msg" for parent in here.parents)
    for folder in (here.parents[2] / "msg", *installed):
        if (folder / "SkeletonArray.msg").is_file():
            return folder
    raise BagError(
        f"the definitions of this package's messages are missing: expected SkeletonArray.msg in {here.parents[2]}/msg "
        "or in share/mambapose_ros/msg of an install space; build the package with colcon or `make build`"
    )
