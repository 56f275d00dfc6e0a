"""Threads that run one compiled pass side by side."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.engine.compiled import job_layout as c
from bot.engine.compiled import object_cache
from bot.engine.compiled.job_layout import Int64s

_LINE = 64  # bytes


class ThreadPool:
    """`threads` threads, the caller's among them. One job at a time; see job_layout.JOB."""

    def __init__(self, threads: int, epsilon: float) -> None:
        self.threads = threads
        self._job = np.zeros(c.JOB, np.int64)
        self._work = object_cache.load()
        self._epsilon = epsilon
        self._shared = np.zeros(c.POOL, np.int64)
        self._listening, self._signalling = os.pipe()
        others = []
        for number in range(1, threads):
            arguments = (
                self._work,
                self._shared,
                number,
                threads,
                self._job,
                self._listening,
                self._signalling,
                self._epsilon,
            )
            others.append(
                threading.Thread(target=_serve, args=arguments, name=f"kernel-{number}", daemon=True)
            )
            others[-1].start()
        pipe = (self._listening, self._signalling)
        weakref.finalize(self, _stop_threads, others, self._job, *pipe)

    def set(self, columns: Mapping[int, int]) -> None:
        """Write some columns of the job."""
        for column, value in columns.items():
            self._job[column] = value

    def run(self, columns: Mapping[int, int], rows: int, width: int) -> None:
        """Do a job on `rows` rows of up to `width` activations; the caller's thread does its share.

        It does not hold the interpreter's lock meanwhile.
        """
        quantize_row, activation_scales = room(padded(rows), width, dtype=np.int16), room(padded(rows))
        there = {
            c.ROWS: rows,
            c.ACTIVATIONS: quantize_row.ctypes.data,
            c.ACTIVATION_SCALES: activation_scales.ctypes.data,
        }
        self.set({**columns, **there})
        shared, job = self._shared.ctypes.data, self._job.ctypes.data
        self._work(0, self.threads, shared, job, self._listening, self._signalling, self._epsilon)


def room(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Memory without a meaning yet, at the beginning of a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole: NDArray[Any] = np.empty(size + _LINE, np.uint8)
    start = -whole.ctypes.data % _LINE
    found: NDArray[Any] = whole[start : start + size].view(dtype).reshape(shape)
    return found


def padded(rows: int) -> int:
    """`rows`, and room for as many as the kernels multiply at once."""
    return rows if rows == 1 else -(-rows // c.COLUMNS) * c.COLUMNS


def _serve(
    work: object_cache.Work,
    shared: Int64s,
    number: int,
    threads: int,
    job: Int64s,
    listening: int,
    signalling: int,
    epsilon: float,
) -> None:
    """One thread's life; it holds what it reads."""
    work(number, threads, shared.ctypes.data, job.ctypes.data, listening, signalling, epsilon)


def _stop_threads(others: list[threading.Thread], job: Int64s, listening: int, signalling: int) -> None:
    """Let the other threads return."""
    job[c.KIND] = c.STOP
    os.write(signalling, bytes(len(others)))
    for thread in others:
        thread.join(1.0)
    os.close(signalling)
    os.close(listening)
