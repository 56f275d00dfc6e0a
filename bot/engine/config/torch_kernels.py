"""What this build of torch multiplies fast on this processor."""

from __future__ import annotations

import torch

from bot.engine.config.processor import flags


def capability() -> str:
    """The widest vector instructions that torch uses here, such as AVX512."""
    return torch.backends.cpu.get_cpu_capability()


def has_fast_int8() -> bool:
    """Whether 8-bit activations are the fast way: x86 with VNNI (or AVX2) through fbgemm."""
    return torch.backends.quantized.engine in ("x86", "fbgemm") and capability() in ("AVX2", "AVX512")


def has_vnni_kernels() -> bool:
    """Whether torch multiplies and adds four pairs of 8-bit integers in 32 bits (VNNI)."""
    return capability() == "AVX512" and bool(torch.cpu._is_vnni_supported())


def has_kleidiai_int4() -> bool:
    """Whether torch has ARM's own 4-bit kernels (KleidiAI), made for dot-product instructions."""
    available = torch.backends.kleidiai.is_available()  # type: ignore[no-untyped-call]  # torch types it not
    return bool(available) and "asimddp" in flags()


def has_native_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and any("bf16" in flag for flag in flags())
