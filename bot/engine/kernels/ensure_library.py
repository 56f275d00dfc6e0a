"""Compiles the kernels where their library is not there, damaged or of other sources: a step of `make setup`.

pip shows nothing of a build that succeeds, so that this is also where one reads why there are no kernels.
"""

from __future__ import annotations

import sys

from bot.engine.kernels.bindings import KernelsMissing, left_out
from bot.engine.kernels.build_library import LIBRARY, build_or_say_why


def main() -> None:
    """Where the library can be used, nothing is compiled; that is known within a fraction of a second."""
    try:
        better = left_out()
    except KernelsMissing:
        build_or_say_why()
    else:
        if better:
            said = f"{', '.join(better)} could not be compiled, and this processor's slower ones compute"
            print(f"kernels: {said}. With a newer compiler: rm {LIBRARY}, and `make setup`", file=sys.stderr)


if __name__ == "__main__":
    main()
