"""What this build of torch multiplies fast on this processor."""

from __future__ import annotations

import torch

from bot.engine.processor import flags


def capability() -> str:
    """The widest vector instructions that torch uses here, such as AVX512."""
    return torch.backends.cpu.get_cpu_capability()


def fast_int8() -> bool:
    """Whether 8-bit activations are the fast way: x86 with VNNI (or AVX2) through fbgemm."""
    return torch.backends.quantized.engine in ("x86", "fbgemm") and capability() in ("AVX2", "AVX512")


def fast_dot_product() -> bool:
    """Whether torch multiplies and adds four pairs of 8-bit integers in 32 bits (VNNI)."""
    return capability() == "AVX512" and bool(torch.cpu._is_vnni_supported())


def fast_dynamic_int4() -> bool:
    """Whether torch has ARM's own 4-bit kernels (KleidiAI), made for dot-product instructions."""
    backend = getattr(torch.backends, "kleidiai", None)
    return backend is not None and bool(backend.is_available()) and "asimddp" in flags()


def native_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and any("bf16" in flag for flag in flags())
