"""No torch where importing it ends the process."""

from __future__ import annotations

import pytest

from bot.engine import EngineError
from bot.engine.config import torch_needs


def test_where_torch_does_not_start_a_sentence_says_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch_needs.require_torch("nothing")
    monkeypatch.setattr(torch_needs, "torch_starts", lambda: False)
    with pytest.raises(EngineError, match=r"does not start on this processor.*use PRECISION=int8"):
        torch_needs.require_torch("use PRECISION=int8")
