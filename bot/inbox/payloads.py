"""What each kind of request says: one dataclass a kind, stored as JSON with a version.

A payload is decoded once, when its request is accepted or leaves the store. One that cannot be decoded
becomes an `Undecodable`, which says whom to apologise to. All of them say whose request it is (`team`,
`user`) and where an answer belongs (`channel`, `thread_ts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

VERSION = 1  # of the fields below; payloads without a version are those of 0.1.0 and have the same fields

_TIMESTAMP = re.compile(r"[0-9]+\.[0-9]+")
_WEB_ADDRESS = re.compile(r"https?://[!-~]+")
# What a request is delivered by: Slack writes these in ASCII, and with others every call fails.
_IDENTIFIERS = ("team", "channel", "user", "thread_ts")


class UndecodablePayload(ValueError):
    """A payload that this version cannot read; the message names the kind and the field."""


@dataclass(frozen=True)
class Question:
    """A message in a thread that the bot answers, or classifies, there.

    ts: the message. message: what Slack sent of it, or with `plain` set text that is no mrkdwn.
    """

    team: str
    channel: str
    ts: str
    thread_ts: str
    user: str
    message: dict[str, Any]
    surface: str  # mention, thread, direct, assistant or command
    again: int = 0  # how often the same message was asked before
    replaces: str = ""  # key of the request whose answer this one's takes the place of
    edits: int = 0  # how often the message was edited before it was answered

    def __post_init__(self) -> None:
        for name, value in (("ts", self.ts), ("thread_ts", self.thread_ts)):
            if not _TIMESTAMP.fullmatch(value):
                raise UndecodablePayload(f"field {name!r} is no timestamp")


@dataclass(frozen=True)
class ClassifyText:
    """A text of which only its asker is shown how it sounds."""

    team: str
    channel: str
    user: str
    text: str
    response_url: str
    role: str = "emotion"
    thread_ts: str | None = None


@dataclass(frozen=True)
class ThreadMood:
    """A thread of which only the asker is shown how it sounds; `ts` is the message it was asked on."""

    team: str
    channel: str
    user: str
    ts: str
    response_url: str
    thread_ts: str | None = None


@dataclass(frozen=True)
class OpenChat:
    """A question typed as a command: it opens a thread of its own."""

    team: str
    channel: str
    user: str
    text: str
    response_url: str
    thread_ts: str | None = None


@dataclass(frozen=True)
class ForgetChannel:
    """Forget the threads that this person began in the channel."""

    team: str
    channel: str
    user: str
    response_url: str
    thread_ts: str | None = None


@dataclass(frozen=True)
class ShareEmotion:
    """Show everybody the classification that the request `about` (a key) was answered with."""

    team: str
    channel: str
    user: str
    about: str
    response_url: str
    thread_ts: str | None = None


@dataclass(frozen=True)
class ForgetThread:
    """Forget the thread of the request."""

    team: str
    channel: str
    user: str
    thread_ts: str | None = None


@dataclass(frozen=True)
class DeleteData:
    """Delete what is stored about a person."""

    team: str
    user: str
    channel: str = ""  # it is asked for outside of any
    thread_ts: str | None = None


@dataclass(frozen=True)
class Undecodable:
    """Stands for a payload that cannot be decoded: why, and whom to tell so as far as it can be read."""

    reason: str
    team: str = ""
    channel: str = ""
    user: str = ""
    ts: str = ""
    thread_ts: str = ""


Payload: TypeAlias = (
    Question
    | ClassifyText
    | ThreadMood
    | OpenChat
    | ForgetChannel
    | ShareEmotion
    | ForgetThread
    | DeleteData
    | Undecodable
)

KINDS: Mapping[str, type[Payload]] = {
    "chat": Question,
    "maybe": Question,  # a reply in a thread of which is not known whether the bot takes part in it
    "emotion": Question,
    "classify": ClassifyText,
    "thread_mood": ThreadMood,
    "open_chat": OpenChat,
    "forget_channel": ForgetChannel,
    "share": ShareEmotion,
    "forget": ForgetThread,
    "delete_data": DeleteData,
}


def encode(payload: Payload) -> dict[str, Any]:
    """The payload as it is stored."""
    return {"version": VERSION, **asdict(payload)}


def decode(kind: str, stored: object) -> Payload:
    """The payload of a request of `kind`; fields it does not know are ignored. Raises UndecodablePayload."""
    if kind not in KINDS:
        raise UndecodablePayload(f"unknown kind {kind!r}")
    if not isinstance(stored, dict):
        raise UndecodablePayload(f"kind {kind!r}: the payload is no JSON object")
    version = stored.get("version", 0)
    if type(version) is not int:
        raise UndecodablePayload(f"kind {kind!r}: field 'version' is {type(version).__name__}, not int")
    if version > VERSION:
        raise UndecodablePayload(f"kind {kind!r}: version {version} is newer than {VERSION}")
    payload_type = KINDS[kind]
    hints, values = get_type_hints(payload_type), {}
    for field in fields(payload_type):
        if field.name in stored:
            value = values[field.name] = stored[field.name]
            if not _fits(value, hints[field.name]):
                found = type(value).__name__
                raise UndecodablePayload(f"kind {kind!r}: field {field.name!r} is {found}, not {field.type}")
            if field.name in _IDENTIFIERS and isinstance(value, str) and not value.isascii():
                raise UndecodablePayload(f"kind {kind!r}: field {field.name!r} is no identifier")
            if field.name == "response_url" and value and not _WEB_ADDRESS.fullmatch(value):
                raise UndecodablePayload(f"kind {kind!r}: field 'response_url' is no web address")
        elif field.default is MISSING:
            raise UndecodablePayload(f"kind {kind!r}: field {field.name!r} is missing")
    try:
        return payload_type(**values)
    except UndecodablePayload as problem:
        raise UndecodablePayload(f"kind {kind!r}: {problem}") from None


def decode_or_explain(kind: str, stored: object) -> Payload:
    """As `decode`; an Undecodable instead of the error."""
    try:
        return decode(kind, stored)
    except UndecodablePayload as problem:
        return undecodable(stored, str(problem))


def undecodable(stored: object, reason: str) -> Undecodable:
    """What of a stored payload tells where and to whom an apology can be said."""
    raw = stored if isinstance(stored, dict) else {}

    def text(name: str) -> str:
        value = raw.get(name)
        return value if isinstance(value, str) and value.isascii() else ""

    def timestamp(name: str) -> str:
        return text(name) if _TIMESTAMP.fullmatch(text(name)) else ""

    return Undecodable(
        reason, text("team"), text("channel"), text("user"), timestamp("ts"), timestamp("thread_ts")
    )


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from JSON is of the type that a field is declared with."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return any(type(value) is (get_origin(each) or each) for each in allowed)
