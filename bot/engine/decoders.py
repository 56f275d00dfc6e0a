"""Opens the decoder of a model directory: the compiled one where it suits, else torch's."""

from __future__ import annotations

import logging
from pathlib import Path

from bot.engine import compiled, processor
from bot.engine.decoder import Decoder
from bot.engine.precision import choose
from bot.engine.prepared import open_prepared
from bot.engine.shape import read_shape
from bot.engine.weights import Checkpoint

log = logging.getLogger(__name__)


def open_decoder(directory: Path, precision: str, threads: int = 0) -> Decoder:
    """The decoder of a model directory, from prepared weights where they are there and belong to it.

    `threads` 0 takes one a core. Blocking: it reads the weights. Raises EngineError. The compiled decoder
    over prepared weights is opened without torch, which takes 200 MB and longer to start than the bot.
    """
    shape = read_shape(directory)
    precision = choose(precision, shape)
    checkpoint, prepared = Checkpoint(directory), open_prepared(directory, precision)
    threads = threads or processor.cores()
    if prepared is None and precision in ("int8", "int4"):
        log.info("no prepared weights for %s: run `python -m bot prepare %s`", precision, directory)
    if compiled.suits(shape, precision):
        from bot.engine.compiled.opening import open_compiled  # numba is read where it is used only

        return open_compiled(shape, precision, checkpoint, prepared, threads)
    from bot.engine.torch_opening import open_on_torch  # and so is torch

    return open_on_torch(shape, precision, checkpoint, prepared, threads)
