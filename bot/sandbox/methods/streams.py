"""Messages that appear as they are written: chat.startStream, appendStream, stopStream."""

from __future__ import annotations

from bot.sandbox import limits, messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.interactive import number_blocks
from bot.sandbox.methods.chat import AUTO, customization, markdown_block, own, thread_of, writable
from bot.sandbox.methods.registry import method
from bot.sandbox.workspace import Channel, Json

TOTAL_TEXT = 40_000


@method(
    "chat.startStream",
    ("chat:write",),
    "channel",
    "thread_ts markdown_text recipient_team_id recipient_user_id chunks task_display_mode icon_emoji "
    "icon_url username",
)
def start(context: Context, arguments: Arguments) -> Json:
    """Begin a message, usually in a thread; in a channel the person it is for must be named."""
    channel = writable(context, arguments)
    if not channel.is_im:
        for name in ("recipient_team_id", "recipient_user_id"):
            if name not in arguments:
                raise SlackError(f"missing_{name}")
    elif "thread_ts" not in arguments:
        raise SlackError("invalid_thread_ts")
    message = messages.bot_message(context, "", **customization(context, arguments))
    added = _read(context, arguments)
    _append(context, message, added)
    message["streaming_state"] = "in_progress"
    messages.post(context, channel, message, thread_of(arguments))
    context.workspace.streams.add((channel.id, message["ts"]))
    return {"channel": channel.id, "ts": message["ts"]}


@method("chat.appendStream", ("chat:write",), "channel ts", "markdown_text chunks")
def append(context: Context, arguments: Arguments) -> Json:
    """Add text to a message that is being written."""
    channel, message = _streaming(context, arguments)
    if "markdown_text" not in arguments and "chunks" not in arguments:
        raise SlackError("no_text")
    _append(context, message, _read(context, arguments))
    messages.tell(context, channel, message)
    return {"channel": channel.id, "ts": message["ts"]}


@method(
    "chat.stopStream",
    ("chat:write",),
    "channel ts",
    "markdown_text blocks metadata chunks session_status",
)
def stop(context: Context, arguments: Arguments) -> Json:
    """Finish a message; `blocks` stand below its text."""
    channel, message = _streaming(context, arguments)
    blocks = arguments.json("blocks")
    checked = limits.check_blocks(blocks) if blocks else []
    metadata = limits.check_metadata(arguments.json("metadata")) if "metadata" in arguments else None
    _append(context, message, _read(context, arguments))
    finish(context, channel, message, checked, metadata)
    return {"channel": channel.id, "ts": message["ts"], "message": message}


def finish(
    context: Context, channel: Channel, message: Json, blocks: list[Json], metadata: Json | None = None
) -> None:
    """Close a stream: by the app, or by Slack because nothing came for too long."""
    context.workspace.streams.discard((channel.id, message["ts"]))
    fields: Json = {"streaming_state": "completed"}
    if blocks:
        below = number_blocks(context.workspace.new_id, blocks) or []
        fields["blocks"] = [*message.get("blocks", []), *below]
    if metadata is not None:
        fields["metadata"] = metadata
    messages.change(context, channel, message["ts"], **fields)


def _streaming(context: Context, arguments: Arguments) -> tuple[Channel, Json]:
    channel = writable(context, arguments)
    message = own(context, channel, arguments.text("ts"), "message_not_owned_by_app")
    if (channel.id, message["ts"]) not in context.workspace.streams:
        raise SlackError("message_not_in_streaming_state")
    return channel, message


def _read(context: Context, arguments: Arguments) -> list[Json]:
    """What one call adds, as blocks in their order. Raises SlackError msg_too_long, invalid_chunks."""
    added: list[Json] = []
    if "markdown_text" in arguments:
        added.append({"type": "markdown", "text": arguments.text("markdown_text")})
    chunks = arguments.json("chunks") or []
    if not isinstance(chunks, list):
        raise SlackError("invalid_chunks")
    for chunk in chunks:
        kind = chunk.get("type") if isinstance(chunk, dict) else None
        if kind == "markdown_text" and isinstance(chunk.get("text"), str):
            added.append({"type": "markdown", "text": chunk["text"]})
        elif kind == "blocks" and isinstance(chunk.get("blocks"), list):
            checked = limits.check_blocks(chunk["blocks"])
            added += number_blocks(context.workspace.new_id, checked) or []
        elif kind in ("task_update", "plan_update"):
            added.append({**chunk, "type": kind, "block_id": context.workspace.new_id(AUTO)})
        else:
            raise SlackError("invalid_chunks")
    texts = [block["text"] for block in added if block["type"] == "markdown" and "block_id" not in block]
    if sum(map(len, texts)) > limits.MARKDOWN_TEXT:
        raise SlackError("msg_too_long")
    return added


def _append(context: Context, message: Json, added: list[Json]) -> None:
    blocks = list(message.get("blocks", []))
    for block in added:
        if block["type"] in ("task_update", "plan_update"):
            same = [b for b in blocks if b["type"] == block["type"] and b.get("id") == block.get("id")]
            if same:
                same[0].update(block)
                continue
        if block["type"] == "markdown" and "block_id" not in block:
            text = block["text"]
            if len(message["text"]) + len(text) > TOTAL_TEXT:
                raise SlackError("msg_too_long")
            message["text"] += text
            if blocks and blocks[-1]["type"] == "markdown":
                blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"] + text}
                continue
            block = markdown_block(context, text)
        blocks.append(block)
    if blocks:
        message["blocks"] = blocks
