"""Weights to the blocks of a GGUF file, compiled and on all cores: see quantize.c."""

from __future__ import annotations

from ctypes import byref

import numpy as np
from numpy.typing import NDArray

from bot.engine.config import processor
from bot.engine.config.arrays import Floats
from bot.engine.kernels.bindings import FORMATS, Quantization, ThreadPool, load_library
from bot.engine.weights.block_formats import GGUF_FORMATS

FORMATS_MADE = ("Q5_0", "Q8_0", "Q4_K", "Q6_K")


class Quantizer:
    """The same blocks on every processor."""

    def __init__(self, threads: int = 0) -> None:
        """`threads` 0 takes one a core. Raises KernelsMissing."""
        self._library = load_library()
        self._pool = ThreadPool(threads or processor.cores())

    def quantize(self, weights: Floats, name: str) -> NDArray[np.uint8]:
        """Rows of blocks as a file has them, [outputs, bytes], of weights [outputs, inputs].

        name: one of FORMATS_MADE; the inputs are a multiple of its block's. Raises ValueError.
        """
        outputs, inputs = weights.shape
        block = GGUF_FORMATS[name]
        if name not in FORMATS_MADE or inputs % block.inputs:
            raise ValueError(f"{name} is not made of rows of {inputs}")
        weights = np.ascontiguousarray(weights, np.float32)
        blocks = np.empty((outputs, inputs // block.inputs * block.size), np.uint8)
        work = Quantization(weights.ctypes.data, blocks.ctypes.data, outputs, inputs, FORMATS[name])
        self._library.quantize(self._pool.address, byref(work))
        return blocks
