"""No more threads than the control group has processors, and no torch where importing it ends the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.engine import EngineError
from bot.engine.config import processor, torch_needs


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", None),
        ("nonsense", None),
    ],
)
def test_a_control_group_s_share_is_a_number_of_cores(tmp_path: Path, limit: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n", encoding="ascii")
    assert processor._quota(tmp_path) == cores


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert processor._quota(tmp_path) is None


def test_the_smallest_limit_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n", encoding="ascii")
    monkeypatch.setattr(processor, "_CGROUP", tmp_path)
    assert processor.cores() == 1


def test_where_torch_does_not_start_a_sentence_says_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch_needs.require_torch("nothing")
    monkeypatch.setattr(torch_needs, "torch_starts", lambda: False)
    with pytest.raises(EngineError, match=r"does not start on this processor.*use PRECISION=int8"):
        torch_needs.require_torch("use PRECISION=int8")
