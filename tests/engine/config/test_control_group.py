"""Threads and precision heed the limits of the control group, and of every group that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bot.doctor.model import available
from bot.engine.config import control_group, processor
from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.config.precision import choose_precision

Mount = Callable[..., None]
SERVICE = "system.slice/all-in-one-bot.service"


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Groups as the kernel shows them: of each folder its files' contents, and this process's group."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    monkeypatch.setattr(control_group, "_ROOT", root)
    monkeypatch.setattr(control_group, "_OWN", own)

    def made(group: str, groups: dict[str, dict[str, str]], other_lines: str = "") -> None:
        own.write_text(f"{other_lines}0::/{group}\n", encoding="ascii")
        for folder, files in groups.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (root / folder / name).write_text(content + "\n", encoding="ascii")

    return made


@pytest.fixture
def config(small_dir: Path) -> ModelConfig:
    return read_model_config(small_dir)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", None),
        ("nonsense", None),
        ("100000 0", None),
    ],
)
def test_a_share_of_time_is_a_number_of_cores(mount: Mount, limit: str, cores: int | None) -> None:
    mount("", {"": {"cpu.max": limit}})
    assert control_group.cores() == cores


def test_without_groups_there_is_no_limit(mount: Mount) -> None:
    assert (control_group.cores(), control_group.memory(), control_group.free_memory()) == (None,) * 3
    assert processor.cores() >= 1


def test_the_limits_of_a_service_are_seen_on_its_host(mount: Mount, config: ModelConfig) -> None:
    limits = {"cpu.max": "100000 100000", "memory.max": "600000000", "memory.current": "100000000"}
    mount(SERVICE, {"": {}, SERVICE: limits}, other_lines="1:name=systemd:/other\n")
    assert processor.cores() == 1
    assert control_group.memory() == 600_000_000
    assert available() == min(500, psutil.virtual_memory().available // 10**6)
    assert choose_precision("auto", config) == "int8"


def test_a_limit_of_a_group_above_counts_as_well(mount: Mount, config: ModelConfig) -> None:
    slice_limits = {"cpu.max": "100000 100000", "memory.max": "500000000", "memory.current": "499000000"}
    own = {"cpu.max": "400000 100000", "memory.max": "max", "memory.current": "1000"}
    mount(SERVICE, {"system.slice": slice_limits, SERVICE: own})
    assert processor.cores() == 1
    assert available() == 1
    assert choose_precision("auto", config) == "int4"


def test_in_a_container_its_own_group_is_the_root(mount: Mount) -> None:
    mount("", {"": {"cpu.max": "100000 100000", "memory.max": "600000000"}})
    assert (control_group.cores(), control_group.memory()) == (1, 600_000_000)


def test_a_group_that_is_over_its_limit_has_nothing_left(mount: Mount) -> None:
    mount("", {"": {"memory.max": "600000000", "memory.current": "600001000"}})
    assert control_group.free_memory() == 0


@pytest.mark.parametrize("group", ["docker/0123", "../../outside"])
def test_where_its_group_is_not_mounted_the_root_decides(mount: Mount, group: str) -> None:
    mount(group, {"": {"memory.max": "600000000"}, "other": {"memory.max": "1"}})
    assert control_group.memory() == 600_000_000
