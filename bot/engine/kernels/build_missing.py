"""Compiles the kernels where their library is not there, damaged or of other sources: a step of `make setup`.

pip shows nothing of a build that succeeds, so that this is also where one reads why there are no kernels.
"""

from __future__ import annotations

from bot.engine.kernels.bindings import KernelsMissing, load_library
from bot.engine.kernels.build_library import build_or_say_why


def main() -> None:
    """Nothing where the library can be used, which is known within a fraction of a second."""
    try:
        load_library()
    except KernelsMissing:
        build_or_say_why()


if __name__ == "__main__":
    main()
