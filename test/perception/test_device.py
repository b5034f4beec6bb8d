import pytest

from mambapose_ros.perception.device import DeviceError, resolve_device


@pytest.mark.parametrize(
    ("requested", "cuda_available", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_device(requested, cuda_available, expected):
    assert resolve_device(requested, cuda_available) == expected


def test_a_gpu_that_was_asked_for_and_is_missing_is_an_error():
    with pytest.raises(DeviceError, match="nvidia-smi"):
        resolve_device("cuda", False)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="auto, cpu, cuda"):
        resolve_device("tpu", True)
