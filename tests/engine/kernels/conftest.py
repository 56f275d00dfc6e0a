from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kernels_driver import Build, Driver, ToolMissing, builds, supported

BUILDS = builds()


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """The command of a build's driver, compiled once a run."""
    made: dict[int, list[str]] = {}

    def find(name: str) -> list[str]:
        build = BUILDS[name]
        # The builds for ARM differ by the processor that is emulated alone.
        key = hash((tuple(build.compiler or ()), tuple(build.extra), tuple(build.sets)))
        if key not in made:
            try:
                made[key] = build.executable(tmp_path_factory.mktemp("kernels"))[len(build.runner) :]
            except ToolMissing as missing:
                pytest.skip(str(missing))
        return [*build.runner, *made[key]]

    return find


@pytest.fixture(scope="session", params=BUILDS)
def drivers(request: pytest.FixtureRequest, command: Callable[[str], list[str]]) -> Iterator[list[Driver]]:
    """A build's kernels: those named, or all that this processor has."""
    build: Build = BUILDS[request.param]
    run = command(request.param)
    opened = [Driver(run, name) for name in build.kernels or supported(run)]
    yield opened
    for driver in opened:
        driver.close()
