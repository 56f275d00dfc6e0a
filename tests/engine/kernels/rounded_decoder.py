"""What the kernels' decoder is compared with: torch's in float32, with activations rounded as there."""

from __future__ import annotations

import numpy as np
import torch

from bot.engine.config.arrays import Floats
from bot.engine.model.decoder import Decoder
from bot.engine.model.torch_decoder import Linear, TorchDecoder
from bot.engine.weights.block_formats import GROUP

# The norm of the error to that of the float32 answer with the same rounded weights and activations. Now and
# then an activation next to a half is rounded the other way, by one of 127 steps; test_multiply.py is exact.
CLOSE = 0.01


class RoundedLinear(Linear):
    """A projection of activations rounded as the kernels round them: to 8 bits, a scale for each group."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rest = -x.shape[1] % GROUP
        groups = torch.nn.functional.pad(x, (0, rest)).view(len(x), -1, GROUP)
        peaks = groups.abs().amax(2, keepdim=True)
        rounded = (groups * (127 / peaks.clamp(min=1e-30))).round() * (peaks / 127)
        return super().__call__(rounded.view(len(x), -1)[:, : x.shape[1]])


def rounded(decoder: Decoder) -> Decoder:
    """torch's decoder with such projections."""
    assert type(decoder) is TorchDecoder
    for layer in decoder._layers:
        for linear in (*(layer.query, layer.key, layer.value, layer.out), layer.gate, layer.up, layer.down):
            linear.__class__ = RoundedLinear
    return decoder


def error(found: Floats, expected: Floats) -> float:
    """Relative to the norm of what is expected."""
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
