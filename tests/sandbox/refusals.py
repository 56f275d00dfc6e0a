"""What the Web API refuses, read from the error of Slack's own client."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError


async def refused(call: Any) -> dict[str, Any]:
    """The body of the refusal that awaiting `call` ends in."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return dict(caught.value.response.data)  # type: ignore[attr-defined]  # a response here, never a str


async def error(call: Any) -> str:
    """The error name that awaiting `call` ends in."""
    return str((await refused(call))["error"])
