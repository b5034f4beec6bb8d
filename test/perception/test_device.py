import pytest
import torch

from mambapose_ros.perception.device import DeviceError, is_gpu_failure, resolve_device


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("CUDA error in the name of a file"), False),
    ],
)
def test_what_a_gpu_fails_with(error, expected):
    assert is_gpu_failure(error) == expected
