"""The sandbox against what Slack's own SDK assumes of Slack: names of methods and of arguments."""

from __future__ import annotations

import inspect

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.methods import METHODS

# Said by the SDK's method but not sent under that name: it becomes `token`, or another name's value.
RENAMED = {"app_token"}
# Slack's method pages have these, the SDK takes them as further keywords.
BEYOND = {"conversations.open": {"prevent_creation"}}


def sdk_arguments(name: str) -> tuple[set[str], set[str]]:
    """The SDK's required and optional argument names of one Web API method."""
    function = getattr(AsyncWebClient, name.replace(".", "_"))
    required, optional = set(), set()
    for argument in inspect.signature(function).parameters.values():
        if argument.name == "self" or argument.kind is argument.VAR_KEYWORD or argument.name in RENAMED:
            continue
        (required if argument.default is argument.empty else optional).add(argument.name)
    return required, optional


@pytest.mark.parametrize("name", sorted(METHODS))
def test_arguments_agree_with_the_sdk(name: str) -> None:
    required, optional = sdk_arguments(name)
    method = METHODS[name]
    ours = {*method.required, *method.optional}
    assert ours - BEYOND.get(name, set()) == required | optional
    assert set(method.required) <= required
