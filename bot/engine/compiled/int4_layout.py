"""int4 weights as the compiled kernels read them: a bfloat16 scale for each group, codes -8..7 in nibbles."""

from __future__ import annotations

import torch

from bot.engine.config.precision import INT4_GROUP as GROUP
from bot.engine.weights.int4 import quantize_groups
from bot.engine.weights.int8 import Int8
from bot.engine.weights.quantization import Linear, QuantizationMethod, Tensors

_AT_ONCE = 1 << 18  # weights quantized at once: what stays in the processor's cache


class Nibbles:
    """See QuantizationMethod.

    Sixteen words of 16 bits hold two groups: the lowest nibbles the first half of the first, the next
    its second half, then the halves of the second group.
    """

    mapped = True

    @property
    def for_lm_head(self) -> QuantizationMethod:
        """int8: with int4 the likeliest tokens' logits would have to be computed again, unquantized."""
        return Int8()

    def quantize(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        codes, scales = [], []
        for part in torch.split(weight, max(1, _AT_ONCE // weight.shape[1])):
            code, scale, _ = quantize_groups(part.float(), symmetric=True)
            halves = (code ^ 8).view(len(code), -1, 4, GROUP // 2)  # two's complement
            low, high = (halves[:, :, at] | halves[:, :, at + 1] << 4 for at in (0, 2))
            codes.append(torch.stack((low, high), -1).flatten(1))
            scales.append(scale.bfloat16())
        return {"nibbles": torch.cat(codes), "scales": torch.cat(scales)}

    def build(self, tensors: Tensors, bias: torch.Tensor | None) -> Linear:
        raise NotImplementedError("the compiled decoder multiplies by these itself")
