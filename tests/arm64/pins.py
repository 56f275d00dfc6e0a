"""The pins of constraints.txt as they read on one 64-bit ARM Python, one a line, for `pip download`.

pip itself reads `platform_machine` off the machine it runs on, so that on x86 it would take x86's torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

PINS = Path(__file__).parents[2] / "constraints.txt"


def pins(python: str) -> list[str]:
    """What applies to Linux on 64-bit ARM with this Python, such as 3.11."""
    there = {
        "platform_machine": "aarch64",
        "sys_platform": "linux",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    lines = (line.partition("#")[0].strip() for line in PINS.read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line]
    return [
        f"{each.name}{each.specifier}" for each in found if not each.marker or each.marker.evaluate(there)
    ]


if __name__ == "__main__":
    print("\n".join(pins(sys.argv[1])))
