"""Messages by the app: chat.postMessage, postEphemeral, update, delete, getPermalink."""

from __future__ import annotations

import re

from bot.sandbox import limits, messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.interactive import number_blocks
from bot.sandbox.methods.registry import method, require_scope
from bot.sandbox.workspace import BOT_ID, BOT_USER_ID, Channel, Json

AUTO = "auto-"  # block_ids of blocks that Slack made from text itself
_CUSTOM = "icon_emoji icon_url username"


def writable(context: Context, arguments: Arguments) -> Channel:
    """Where the app wants to write; a user id means the direct message with that person.

    Raises SlackError channel_not_found, not_in_channel, is_archived.
    """
    name = arguments.text("channel")
    workspace = context.workspace
    channel = workspace.open_im(name) if name in workspace.users else workspace.channel(name)
    if channel.private and BOT_USER_ID not in channel.members:
        raise SlackError("channel_not_found")
    if channel.archived:
        raise SlackError("is_archived")
    if BOT_USER_ID not in channel.members and "chat:write.public" not in context.app.scopes:
        raise SlackError("not_in_channel")
    return channel


def thread_of(arguments: Arguments) -> str | None:
    """The thread_ts given, checked for its shape. Raises SlackError invalid_thread_ts."""
    ts = arguments.text("thread_ts")
    if ts and not re.fullmatch(r"\d{1,12}\.\d{6}", ts):
        raise SlackError("invalid_thread_ts")
    return ts or None


def markdown_block(context: Context, text: str) -> Json:
    """The block that Slack makes of Markdown text."""
    return {"type": "markdown", "text": text, "block_id": context.workspace.new_id(AUTO)}


def content(context: Context, arguments: Arguments) -> Json:
    """text, blocks and attachments of one call, checked.

    Raises SlackError no_text, invalid_blocks, markdown_text_conflict, msg_too_long.
    """
    blocks = arguments.json("blocks")
    attachments = arguments.json("attachments")
    text = arguments.text("text")
    fields: Json = {}
    if "markdown_text" in arguments:
        if text or blocks:
            raise SlackError("markdown_text_conflict")
        text = arguments.text("markdown_text")
        if len(text) > limits.MARKDOWN_TEXT:
            raise SlackError("msg_too_long")
        fields["blocks"] = [markdown_block(context, text)]
    elif blocks is not None:
        fields["blocks"] = number_blocks(context.workspace.new_id, limits.check_blocks(blocks))
    if attachments is not None:
        fields["attachments"] = attachments
    if not text.strip() and not blocks and not attachments:
        raise SlackError("no_text")
    if "metadata" in arguments:
        fields["metadata"] = limits.check_metadata(arguments.json("metadata"))
    return {"text": text, **fields}


def customization(context: Context, arguments: Arguments) -> Json:
    """A name or picture other than the app's own, which has a scope of its own."""
    given = {name: arguments.text(name) for name in _CUSTOM.split() if name in arguments}
    if given:
        require_scope(context, "chat:write.customize")
    icons = {k.removeprefix("icon_"): v for k, v in given.items() if k != "username"}
    found: Json = {"icons": icons} if icons else {}
    if "username" in given:
        found |= {"username": given["username"], "subtype": "bot_message"}
    return found


@method(
    "chat.postMessage",
    ("chat:write",),
    "channel",
    "text as_user attachments blocks thread_ts reply_broadcast unfurl_links unfurl_media container_id "
    "icon_emoji icon_url mrkdwn link_names username parse metadata markdown_text",
)
def post_message(context: Context, arguments: Arguments) -> Json:
    """A new message; text beyond 40,000 characters is cut, with a warning."""
    channel = writable(context, arguments)
    fields = content(context, arguments)
    text = fields.pop("text")
    warning: Json = {}
    if len(text) > limits.POST_TEXT:
        text = text[: limits.POST_TEXT]
        note = "[WARN] Your message was truncated but still posted."
        warning = {
            "warning": "message_truncated",
            "response_metadata": {"warnings": ["message_truncated"], "messages": [note]},
        }
    message = messages.bot_message(context, text, **fields, **customization(context, arguments))
    if arguments.flag("reply_broadcast"):
        message["subtype"] = "thread_broadcast"
    messages.post(context, channel, message, thread_of(arguments))
    return {"channel": channel.id, "ts": message["ts"], "message": message, **warning}


@method(
    "chat.postEphemeral",
    ("chat:write",),
    "channel user",
    "text as_user attachments blocks thread_ts icon_emoji icon_url link_names username parse markdown_text",
)
def post_ephemeral(context: Context, arguments: Arguments) -> Json:
    """A message that one member of the channel sees."""
    channel = writable(context, arguments)
    user = context.workspace.user(arguments.text("user"))
    if user.id not in channel.members:
        raise SlackError("user_not_in_channel")
    fields = content(context, arguments)
    text = fields.pop("text")[: limits.POST_TEXT]
    message = messages.bot_message(context, text, **fields, **customization(context, arguments))
    if thread := thread_of(arguments):
        message["thread_ts"] = thread
    messages.post_ephemeral(context, channel, user.id, message)
    return {"message_ts": message["ts"]}


@method(
    "chat.update",
    ("chat:write",),
    "channel ts",
    "text attachments blocks as_user file_ids link_names parse reply_broadcast metadata markdown_text",
)
def update(context: Context, arguments: Arguments) -> Json:
    """Change one of the app's own messages; blocks that are not given again stay."""
    channel = writable(context, arguments)
    ts = arguments.text("ts")
    message = own(context, channel, ts, "cant_update_message")
    if (channel.id, ts) in context.workspace.streams:
        raise SlackError("streaming_state_conflict")
    fields = content(context, arguments)
    if "markdown_text" not in arguments and len(fields["text"]) > limits.UPDATE_TEXT:
        raise SlackError("msg_too_long")
    if "blocks" not in fields and arguments.text("text"):
        made_by_slack = [str(b.get("block_id", "")).startswith(AUTO) for b in message.get("blocks", ())]
        if made_by_slack and all(made_by_slack):
            fields["blocks"] = None
    fields["edited"] = {"user": BOT_USER_ID, "ts": context.workspace.new_ts()}
    changed = messages.change(context, channel, ts, **fields)
    return {"channel": channel.id, "ts": ts, "text": changed["text"], "message": changed}


@method("chat.delete", ("chat:write",), "channel ts", "as_user")
def delete(context: Context, arguments: Arguments) -> Json:
    """Remove one of the app's own messages."""
    channel = context.workspace.channel(arguments.text("channel"))
    ts = arguments.text("ts")
    own(context, channel, ts, "cant_delete_message")
    messages.remove(context, channel, ts)
    return {"channel": channel.id, "ts": ts}


@method("chat.getPermalink", (), "channel message_ts")
def get_permalink(context: Context, arguments: Arguments) -> Json:
    """The address of a message."""
    channel = context.workspace.channel(arguments.text("channel"))
    message = context.workspace.message(channel, arguments.text("message_ts"))
    link = f"{context.base_url}/archives/{channel.id}/p{message['ts'].replace('.', '')}"
    if message.get("thread_ts", message["ts"]) != message["ts"]:
        link += f"?thread_ts={message['thread_ts']}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def own(context: Context, channel: Channel, ts: str, refusal: str) -> Json:
    """A message of the app's. Raises SlackError message_not_found, or `refusal` for others' messages."""
    message = context.workspace.message(channel, ts)
    if message.get("bot_id") != BOT_ID:
        raise SlackError(refusal)
    return message
