"""The assistant pane: assistant.threads.setStatus, setTitle, setSuggestedPrompts."""

from __future__ import annotations

from bot.sandbox import messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.methods.registry import method, require_scope
from bot.sandbox.workspace import BOT_USER_ID, Channel, Json, Pane

MAX_PROMPTS = 4


def _thread(context: Context, arguments: Arguments) -> tuple[Channel, str]:
    channel = context.workspace.channel(arguments.text("channel_id"))
    ts = arguments.text("thread_ts")
    if BOT_USER_ID not in channel.members:
        raise SlackError("not_in_channel")
    if ts not in channel.messages:
        raise SlackError("invalid_thread_ts")
    return channel, ts


@method(
    "assistant.threads.setStatus",
    ("chat:write", "assistant:write"),
    "channel_id thread_ts",
    "status loading_messages icon_emoji icon_url username",
)
def set_status(context: Context, arguments: Arguments) -> Json:
    """The line under a thread while the app works; an empty status removes it."""
    if "status" not in arguments.given:
        raise SlackError("invalid_arguments", "missing required field: status")
    channel, ts = _thread(context, arguments)
    if any(name in arguments for name in ("icon_emoji", "icon_url", "username")):
        require_scope(context, "chat:write.customize")
    loading = arguments.json("loading_messages") or []
    if not isinstance(loading, list) or len(loading) > 10:
        raise SlackError(
            "invalid_arguments", "no more than 10 items allowed [json-pointer:/loading_messages]"
        )
    messages.set_status(context, channel.id, ts, arguments.text("status"))
    return {}


@method("assistant.threads.setTitle", ("assistant:write",), "channel_id thread_ts title")
def set_title(context: Context, arguments: Arguments) -> Json:
    """The name of an assistant thread in its history."""
    channel, ts = _thread(context, arguments)
    pane = _pane(context, channel, ts)
    pane.title = arguments.text("title")
    _changed(context, channel, ts, pane)
    return {}


@method(
    "assistant.threads.setSuggestedPrompts", ("assistant:write",), "channel_id prompts", "thread_ts title"
)
def set_prompts(context: Context, arguments: Arguments) -> Json:
    """Up to four things a person might ask, as buttons."""
    channel, ts = _thread(context, arguments)
    prompts = arguments.json("prompts")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= MAX_PROMPTS:
        raise SlackError("invalid_arguments", f"1 to {MAX_PROMPTS} items allowed [json-pointer:/prompts]")
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, dict) or not prompt.get("title") or not prompt.get("message"):
            raise SlackError(
                "invalid_arguments", f"title and message are required [json-pointer:/prompts/{number}]"
            )
    pane = _pane(context, channel, ts)
    pane.prompts, pane.prompts_title = prompts, arguments.text("title")
    _changed(context, channel, ts, pane)
    return {}


def _pane(context: Context, channel: Channel, ts: str) -> Pane:
    if not channel.is_im:
        raise SlackError("channel_not_found")
    return context.workspace.panes.setdefault((channel.id, ts), Pane(channel.user))


def _changed(context: Context, channel: Channel, ts: str, pane: Pane) -> None:
    context.workspace.changed("pane", channel.id, {"thread_ts": ts, **vars(pane)}, pane.user)
