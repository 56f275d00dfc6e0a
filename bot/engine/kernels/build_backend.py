"""The build backend of pyproject.toml: setuptools, with the kernels compiled before.

Where the system has no C compiler, the one of the package `ziglang` is asked for, which pip puts into the
build's own environment; with a compiler nothing is fetched. Where pip cannot have ziglang it gives up: with
WITHOUT_KERNELS=1 in the environment nothing is compiled, the bot is installed, and torch computes.
"""

from __future__ import annotations

import shlex
import sysconfig
from typing import Any

from setuptools import build_meta as _setuptools
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from bot.engine.kernels import build_library

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ZIG = "ziglang>=0.15"


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """setuptools' requirements, and a compiler where there is none and kernels are wanted."""
    return [*_setuptools.get_requires_for_build_wheel(config_settings), *_compiler_wanted()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """As for a wheel."""
    return [*_setuptools.get_requires_for_build_editable(config_settings), *_compiler_wanted()]


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """A wheel for this platform, whatever its Python and its processor."""
    build_library.build_or_say_why()
    return _setuptools.build_wheel(wheel_directory, _for_platform(config_settings), metadata_directory)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """The library beside its sources, and this checkout on Python's path."""
    build_library.build_or_say_why()
    return _setuptools.build_editable(wheel_directory, config_settings, metadata_directory)


def _compiler_wanted() -> list[str]:
    return [_ZIG] if build_library.wanted() and not build_library.system_compiler() else []


def _for_platform(config_settings: Any) -> dict[str, Any]:
    """The settings (-C), which are text where an option is given once, and the platform's tag."""
    settings: dict[str, Any] = dict(config_settings or {})
    given = settings.get("--build-option", [])
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    options = shlex.split(given) if isinstance(given, str) else given
    settings["--build-option"] = [*options, f"--plat-name={tag}"]
    return settings
