"""How a Web API call fails: Slack's error name, and what Slack says beside it."""

from __future__ import annotations

from typing import Any


class SlackError(Exception):
    """One `{"ok": false, "error": code}` answer. `extra` is merged into the answer."""

    def __init__(self, code: str, *notes: str, **extra: Any) -> None:
        super().__init__(code if not notes else f"{code}: {'; '.join(notes)}")
        self.code = code
        self.extra = extra
        if notes:
            self.extra["response_metadata"] = {"messages": [f"[ERROR] {note}" for note in notes]}

    def answer(self) -> dict[str, Any]:
        """The body of the HTTP answer."""
        return {"ok": False, "error": self.code, **self.extra}
