"""A training step as CUDA graphs: its kernels take less time than launching them from Python does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_Kind = tuple[tuple[torch.Size, torch.dtype], ...]  # of inputs


class GraphedStep:
    """Calls a function on a GPU, and replays what it did from the second call with inputs of one kind on.

    A kind is shapes and dtypes. The first call compiles kernels, which a capture must not.

    Args:
        function: of tensors to one tensor on the current GPU. It reads nothing else that changes from call to call but
            tensors that are changed in place, and what it keeps for later it has made by the end of its first call: all
            graphs share memory.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._seen: set[_Kind] = set()
        self._captured: dict[_Kind, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]] = {}
        self._memory = torch.cuda.graph_pool_handle()
        self._apart = torch.cuda.Stream()  # from the current stream: autograd remembers those that it was used on

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the function returns."""
        kind = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if kind not in self._seen:
            self._seen.add(kind)
            return self._call(inputs)
        if kind not in self._captured:
            self._captured[kind] = self._capture(inputs)
        graph, places, result = self._captured[kind]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor, non_blocking=True)
        graph.replay()
        return result.clone()

    def _call(self, inputs: tuple[Tensor, ...]) -> Tensor:
        current = torch.cuda.current_stream()
        self._apart.wait_stream(current)
        with torch.cuda.stream(self._apart):
            result = self._function(*(tensor.to("cuda", non_blocking=True) for tensor in inputs))
        current.wait_stream(self._apart)
        return result

    def _capture(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]:
        places = tuple(torch.empty_like(tensor, device="cuda") for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):  # others pin batches
            result = self._function(*places)
        return graph, places, result
