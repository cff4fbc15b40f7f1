"""Batches on the device, each brought there while the one before is worked on, and how long the device waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from autospine.training.data import FIELDS, Batch


class Feed:
    """Batches on a device, in order; a context that ends its thread.

    On CUDA the next batch is pinned and copied on a stream of its own, by a thread of its own, and the waiting is
    measured by the device between two updates. Elsewhere batches are taken where they are asked for.

    Args:
        batches: On the host, or on the device already.
        device: Where they are needed.
    """

    def __init__(self, batches: Iterator[Batch], device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.ahead = _Ahead(batches, device) if device.type == "cuda" else None
        self._seconds = 0.0

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ahead:
            self.ahead.pool.shutdown(cancel_futures=True)

    def take(self) -> Batch:
        """Return the next batch."""
        if self.ahead:
            return self.ahead.take()
        start = time.perf_counter()
        batch = next(self.batches).to(self.device)
        self._seconds += time.perf_counter() - start
        return batch

    def waited(self) -> float:
        """Return the seconds that the device has waited for batches since this was asked last."""
        seconds, self._seconds = self.ahead.waited() if self.ahead else self._seconds, 0.0
        return seconds


class _Ahead:
    """The next batch on its way to a CUDA device."""

    def __init__(self, batches: Iterator[Batch], device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.stream = torch.cuda.Stream(device)
        self.pool = ThreadPoolExecutor(1)
        self.following = self._begin()
        self.pauses: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []  # end of an update, begin of the next

    def _begin(self) -> Future[tuple[Batch, torch.cuda.Event] | None]:
        return self.pool.submit(self._bring)

    def _bring(self) -> tuple[Batch, torch.cuda.Event] | None:
        with torch.cuda.stream(self.stream):
            batch = next(self.batches, None)
            if batch is None:
                return None
            if not batch.images.is_cuda:
                batch = batch.pinned().to(self.device)
            brought = torch.cuda.Event()
            brought.record(self.stream)
            return batch, brought

    def take(self) -> Batch:
        working = torch.cuda.current_stream(self.device)
        end, begin = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        end.record(working)
        result = self.following.result()
        if result is None:
            raise StopIteration
        batch, brought = result
        working.wait_event(brought)
        begin.record(working)
        for name in FIELDS:  # its memory is not given to the next batch before this update is done
            getattr(batch, name).record_stream(working)
        self.pauses.append((end, begin))
        self.following = self._begin()
        return batch

    def waited(self) -> float:
        torch.cuda.synchronize(self.device)
        milliseconds = sum(end.elapsed_time(begin) for end, begin in self.pauses)
        self.pauses = []
        return milliseconds / 1000
