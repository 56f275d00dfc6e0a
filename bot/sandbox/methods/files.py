"""Files: files.getUploadURLExternal, the upload itself, files.completeUploadExternal, files.info."""

from __future__ import annotations

from pathlib import PurePosixPath

from bot.sandbox import messages
from bot.sandbox.arguments import Arguments
from bot.sandbox.context import Context
from bot.sandbox.errors import SlackError
from bot.sandbox.methods.chat import thread_of, writable
from bot.sandbox.methods.registry import method
from bot.sandbox.workspace import BOT_USER_ID, Json, StoredFile

MAX_FILE = 8 * 1024 * 1024
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}


def kind_of(name: str) -> str:
    """The content type by the file's name; what a browser could run is plain bytes."""
    return _KINDS.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def file_object(context: Context, stored: StoredFile, user: str = BOT_USER_ID) -> Json:
    """A file object."""
    return {
        "id": stored.id,
        "name": stored.name,
        "title": stored.title or stored.name,
        "mimetype": kind_of(stored.name),
        "filetype": PurePosixPath(stored.name).suffix.lstrip("."),
        "size": stored.length,
        "user": user,
        "alt_txt": stored.alt_txt,
        "mode": "hosted",
        "url_private": f"{context.base_url}/files/{stored.id}",
        "permalink": f"{context.base_url}/files/{stored.id}",
    }


@method("files.getUploadURLExternal", ("files:write",), "filename length", "alt_txt snippet_type")
def upload_url(context: Context, arguments: Arguments) -> Json:
    """Where one file's bytes may be sent."""
    length = arguments.number("length", 0, 1, MAX_FILE)
    stored = StoredFile(context.workspace.new_id("F"), arguments.text("filename"), length)
    stored.alt_txt = arguments.text("alt_txt")
    context.workspace.files[stored.id] = stored
    return {"file_id": stored.id, "upload_url": f"{context.base_url}/upload/{stored.id}"}


def receive(context: Context, name: str, data: bytes) -> int:
    """The bytes of a file; how many. Raises SlackError file_not_found, size mismatch as Slack's 400."""
    stored = context.workspace.files.get(name)
    if stored is None or stored.data is not None:
        raise SlackError("file_not_found")
    if len(data) != stored.length:
        raise SlackError("file_upload_size_mismatch")
    stored.data = data
    return len(data)


@method(
    "files.completeUploadExternal",
    ("files:write",),
    "files",
    "channel_id channels initial_comment thread_ts",
)
def complete(context: Context, arguments: Arguments) -> Json:
    """Share what was uploaded, in a channel or a thread."""
    wanted = arguments.json("files")
    if not isinstance(wanted, list) or not wanted:
        raise SlackError("invalid_arguments", "files must be a list [json-pointer:/files]")
    found = []
    for entry in wanted:
        stored = context.workspace.files.get(str(entry.get("id")) if isinstance(entry, dict) else "")
        if stored is None or stored.data is None or stored.shared:
            raise SlackError("file_not_found")
        stored.title = str(entry.get("title") or stored.name)
        found.append(stored)
    for stored in found:
        stored.shared = True
    objects = [file_object(context, stored) for stored in found]
    where = arguments.text("channel_id") or arguments.text("channels")
    for name in filter(None, where.split(",")):
        channel = writable(context, Arguments({"channel": name}))
        message = messages.bot_message(context, arguments.text("initial_comment"), files=objects)
        messages.post(context, channel, message, thread_of(arguments))
    return {"files": objects}


@method("files.info", ("files:read",), "file", "count cursor limit page")
def info(context: Context, arguments: Arguments) -> Json:
    """One file."""
    stored = context.workspace.files.get(arguments.text("file"))
    if stored is None:
        raise SlackError("file_not_found")
    return {"file": file_object(context, stored)}
