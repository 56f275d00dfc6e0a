"""/proc/cpuinfo as Linux writes it on 64-bit ARM, from what this processor, or qemu, tells of itself.

Older qemu shows the host's file, in which no flag of an ARM processor stands. The bits and names are
those of Linux (arch/arm64/include/uapi/asm/hwcap.h, arch/arm64/kernel/cpuinfo.c).
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

AT_HWCAP, AT_HWCAP2 = 16, 26
FIRST = """
    fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc
    dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg
"""
SECOND = """
    dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm
    svebf16 i8mm bf16 dgh rng bti mte
"""
# Implementer and part, by the name that qemu's -cpu takes.
PARTS = {"cortex-a72": (0x41, 0xD08), "cortex-a76": (0x41, 0xD0B), "neoverse-n1": (0x41, 0xD0C)}


def features() -> list[str]:
    """The flags behind the bits of the auxiliary vector."""
    raw = Path("/proc/self/auxv").read_bytes()
    vector = dict(struct.iter_unpack("QQ", raw[: len(raw) // 16 * 16]))
    return [
        name
        for key, names in ((AT_HWCAP, FIRST), (AT_HWCAP2, SECOND))
        for bit, name in enumerate(names.split())
        if vector.get(key, 0) >> bit & 1
    ]


def cpuinfo(model: str, processors: int) -> str:
    """The whole file."""
    implementer, part = PARTS.get(model, (0, 0))
    lines = (
        f"Features\t: {' '.join(features())}\nCPU implementer\t: {implementer:#04x}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part:#05x}\nCPU revision\t: 0\n"
    )
    return "\n".join(f"processor\t: {number}\n{lines}" for number in range(processors))


if __name__ == "__main__":
    print(cpuinfo(sys.argv[1], len(os.sched_getaffinity(0))))
