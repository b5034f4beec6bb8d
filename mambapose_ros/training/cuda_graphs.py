"""A training step as CUDA graphs: its kernels take less time than launching them from Python does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class GraphedStep:
    """Calls a function on a GPU, and from the third call with inputs of the same shape on replays what it did.

    The first call of a shape compiles kernels, which a capture must not. All graphs share memory, so that the function
    may keep in tensors of its own whatever it needs later, but must not return what another call overwrites unread.

    Args:
        function: of tensors on the current GPU, to one tensor; it reads nothing else that changes from call to call
            but tensors that are changed in place.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._seen: set[tuple[torch.Size, ...]] = set()
        self._captured: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]] = {}
        self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the function returns."""
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._seen:
            self._seen.add(shapes)
            return self._call(inputs)
        if shapes not in self._captured:
            self._captured[shapes] = self._capture(inputs)
        graph, places, result = self._captured[shapes]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor, non_blocking=True)
        graph.replay()
        return result.clone()

    def _call(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Apart from the current stream, as autograd remembers the streams that it was used on."""
        current, apart = torch.cuda.current_stream(), torch.cuda.Stream()
        apart.wait_stream(current)
        with torch.cuda.stream(apart):
            result = self._function(*(tensor.to(apart.device, non_blocking=True) for tensor in inputs))
        current.wait_stream(apart)
        return result

    def _capture(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]:
        places = tuple(torch.empty_like(tensor, device="cuda") for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):  # others pin batches
            result = self._function(*places)
        return graph, places, result
