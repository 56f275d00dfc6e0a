"""Slack's limits on what an app may send, refused with Slack's error names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.sandbox.errors import SlackError
from bot.sandbox.workspace import Json

POST_TEXT = 40_000  # longer text is cut, with a warning
UPDATE_TEXT = 4_000  # longer text is refused
MARKDOWN_TEXT = 12_000  # all markdown of one message together
MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100

INTERACTIVE = {
    "button",
    "overflow",
    "static_select",
    "multi_static_select",
    "users_select",
    "conversations_select",
    "channels_select",
    "checkboxes",
    "radio_buttons",
    "datepicker",
    "timepicker",
    "plain_text_input",
    "feedback_buttons",
    "icon_button",
}
_MOST_OPTIONS = {"overflow": 5, "checkboxes": 10, "radio_buttons": 10}


class _Checker:
    """Collects what is wrong with one list of blocks, each with a JSON pointer, as Slack reports it."""

    def __init__(self, view: bool) -> None:
        self.view = view
        self.wrong: list[str] = []
        self.markdown = 0

    def bad(self, problem: str, at: str) -> None:
        self.wrong.append(f"{problem} [json-pointer:{at}]")

    def length(self, text: Any, most: int, at: str, least: int = 1) -> None:
        if not isinstance(text, str):
            self.bad("must be a string", at)
        elif len(text) < least:
            self.bad(f"must be more than {least - 1} characters", at)
        elif len(text) > most:
            self.bad(f"must be less than {most + 1} characters", at)

    def text(self, found: Any, most: int, at: str, *, plain: bool = False) -> None:
        if not isinstance(found, Mapping) or found.get("type") not in ("plain_text", "mrkdwn"):
            self.bad("must be a text object", at)
            return
        if plain and found["type"] != "plain_text":
            self.bad("must be a plain_text object", f"{at}/type")
        if found["type"] == "mrkdwn" and "emoji" in found:
            self.bad("emoji is not allowed on mrkdwn", f"{at}/emoji")
        self.length(found.get("text"), most, f"{at}/text")

    def many(self, found: Any, most: int, at: str, least: int = 1) -> list[Any]:
        if not isinstance(found, list) or len(found) < least:
            self.bad(f"no fewer than {least} items allowed", at)
            return []
        if len(found) > most:
            self.bad(f"no more than {most} items allowed", at)
        return found

    def blocks(self, blocks: list[Any], at: str) -> None:
        seen: set[str] = set()
        for number, block in enumerate(blocks):
            here = f"{at}/{number}"
            if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
                self.bad("missing required field: type", here)
                continue
            if "block_id" in block:
                self.length(block["block_id"], 255, f"{here}/block_id")
                if block["block_id"] in seen:
                    self.bad(f"block_id {block['block_id']!r} already exists", f"{here}/block_id")
                seen.add(block["block_id"])
            check = _BLOCK_CHECKS.get(block["type"])
            if check is None:
                self.bad(f"unsupported type: {block['type']}", f"{here}/type")
            else:
                check(self, block, here)

    def block_section(self, block: Mapping[str, Any], at: str) -> None:
        if "text" not in block and "fields" not in block:
            self.bad("missing required field: text or fields", at)
        if "text" in block:
            self.text(block["text"], 3000, f"{at}/text")
        for number, part in enumerate(self.many(block.get("fields", [{}]), 10, f"{at}/fields")):
            if "fields" in block:
                self.text(part, 2000, f"{at}/fields/{number}")
        if "accessory" in block:
            self.element(block["accessory"], f"{at}/accessory", set())

    def block_header(self, block: Mapping[str, Any], at: str) -> None:
        self.text(block.get("text"), 150, f"{at}/text", plain=True)

    def block_divider(self, block: Mapping[str, Any], at: str) -> None:
        """A divider has nothing that could be wrong."""

    def block_context(self, block: Mapping[str, Any], at: str) -> None:
        for number, part in enumerate(self.many(block.get("elements"), 10, f"{at}/elements")):
            here = f"{at}/elements/{number}"
            if isinstance(part, Mapping) and part.get("type") == "image":
                self.image(part, here)
            else:
                self.text(part, 3000, here)

    def block_actions(self, block: Mapping[str, Any], at: str) -> None:
        names: set[str] = set()
        for number, part in enumerate(self.many(block.get("elements"), 25, f"{at}/elements")):
            self.element(part, f"{at}/elements/{number}", names)

    def block_context_actions(self, block: Mapping[str, Any], at: str) -> None:
        if self.view:
            self.bad("unsupported type: context_actions", f"{at}/type")
        names: set[str] = set()
        for number, part in enumerate(self.many(block.get("elements"), 5, f"{at}/elements")):
            self.element(part, f"{at}/elements/{number}", names)

    def block_image(self, block: Mapping[str, Any], at: str) -> None:
        self.image(block, at)
        if "title" in block:
            self.text(block["title"], 2000, f"{at}/title", plain=True)

    def image(self, part: Mapping[str, Any], at: str) -> None:
        if "image_url" in part:
            self.length(part["image_url"], 3000, f"{at}/image_url")
        elif "slack_file" not in part:
            self.bad("missing required field: image_url or slack_file", at)
        self.length(part.get("alt_text"), 2000, f"{at}/alt_text")

    def block_markdown(self, block: Mapping[str, Any], at: str) -> None:
        if self.view:
            self.bad("unsupported type: markdown", f"{at}/type")
        self.length(block.get("text"), MARKDOWN_TEXT, f"{at}/text")
        before = self.markdown
        self.markdown += len(block.get("text") or "")
        if before <= MARKDOWN_TEXT < self.markdown and before:
            self.bad(f"markdown blocks have more than {MARKDOWN_TEXT} characters together", at)

    def block_rich_text(self, block: Mapping[str, Any], at: str) -> None:
        known = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
        for number, part in enumerate(self.many(block.get("elements"), 1000, f"{at}/elements")):
            if not isinstance(part, Mapping) or part.get("type") not in known:
                self.bad("unsupported rich text element", f"{at}/elements/{number}")

    def block_table(self, block: Mapping[str, Any], at: str) -> None:
        for number, row in enumerate(self.many(block.get("rows"), 100, f"{at}/rows")):
            self.many(row, 20, f"{at}/rows/{number}")

    def block_input(self, block: Mapping[str, Any], at: str) -> None:
        self.text(block.get("label"), 2000, f"{at}/label", plain=True)
        self.element(block.get("element"), f"{at}/element", set())

    def element(self, part: Any, at: str, names: set[str]) -> None:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "image":
            self.image(part, at)
            return
        if kind not in INTERACTIVE:
            self.bad(f"unsupported element: {kind}", at)
            return
        if "action_id" in part:
            self.length(part["action_id"], 255, f"{at}/action_id")
            if part["action_id"] in names:
                self.bad(f"`action_id` {part['action_id']!r} already exists", f"{at}/action_id")
            names.add(part["action_id"])
        if kind == "button":
            self.text(part.get("text"), 75, f"{at}/text", plain=True)
            if part.get("style", "primary") not in ("primary", "danger"):
                self.bad("style must be primary or danger", f"{at}/style")
        if kind == "icon_button":
            self.text(part.get("text"), 75, f"{at}/text", plain=True)
            if part.get("icon") != "trash":  # the only one Slack has
                self.bad("icon must be trash", f"{at}/icon")
        if kind == "feedback_buttons":
            for side in ("positive_button", "negative_button"):
                button = part.get(side) or {}
                self.text(button.get("text"), 75, f"{at}/{side}/text", plain=True)
                self.length(button.get("value"), 2000, f"{at}/{side}/value")
        if "value" in part:
            self.length(part["value"], 2000, f"{at}/value")
        if "url" in part:
            self.length(part["url"], 3000, f"{at}/url")
        chooses = "options" in part or kind in _MOST_OPTIONS or kind == "static_select"
        if chooses and "option_groups" not in part:
            self.options(part.get("options"), _MOST_OPTIONS.get(str(kind), 100), f"{at}/options")
        if "placeholder" in part:
            self.text(part["placeholder"], 150, f"{at}/placeholder", plain=True)
        if "confirm" in part:
            self.confirm(part["confirm"], f"{at}/confirm")

    def options(self, options: Any, most: int, at: str) -> None:
        for number, option in enumerate(self.many(options, most, at)):
            found = option if isinstance(option, Mapping) else {}
            self.text(found.get("text"), 75, f"{at}/{number}/text")
            self.length(found.get("value"), 150, f"{at}/{number}/value")

    def confirm(self, confirm: Any, at: str) -> None:
        found = confirm if isinstance(confirm, Mapping) else {}
        self.text(found.get("title"), 100, f"{at}/title", plain=True)
        self.text(found.get("text"), 300, f"{at}/text")
        self.text(found.get("confirm"), 30, f"{at}/confirm", plain=True)
        self.text(found.get("deny"), 30, f"{at}/deny", plain=True)


_BLOCK_CHECKS: dict[str, Callable[[_Checker, Mapping[str, Any], str], None]] = {
    "section": _Checker.block_section,
    "header": _Checker.block_header,
    "divider": _Checker.block_divider,
    "context": _Checker.block_context,
    "actions": _Checker.block_actions,
    "context_actions": _Checker.block_context_actions,
    "image": _Checker.block_image,
    "markdown": _Checker.block_markdown,
    "rich_text": _Checker.block_rich_text,
    "table": _Checker.block_table,
    "input": _Checker.block_input,
}


def check_blocks(blocks: Any) -> list[Json]:
    """The blocks of a message, checked. Raises SlackError invalid_blocks with JSON pointers."""
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    checker = _Checker(view=False)
    if len(blocks) > MESSAGE_BLOCKS:
        checker.bad(f"no more than {MESSAGE_BLOCKS} items allowed", "/blocks")
    checker.blocks(blocks, "/blocks")
    if checker.wrong:
        raise SlackError("invalid_blocks", *checker.wrong)
    return blocks


def check_view(view: Any, kinds: tuple[str, ...]) -> Json:
    """A Home tab or a modal, checked. Raises SlackError invalid_arguments with JSON pointers."""
    if not isinstance(view, dict):
        raise SlackError("invalid_arguments", "view must be an object [json-pointer:/view]")
    checker = _Checker(view=True)
    if view.get("type") not in kinds:
        checker.bad(f"type must be one of {', '.join(kinds)}", "/view/type")
    if view.get("type") == "modal":
        checker.text(view.get("title"), 24, "/view/title", plain=True)
        for button in ("submit", "close"):
            if button in view:
                checker.text(view[button], 24, f"/view/{button}", plain=True)
    for name, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if name in view:
            checker.length(view[name], most, f"/view/{name}", least=0)
    blocks = checker.many(view.get("blocks"), VIEW_BLOCKS, "/view/blocks")
    checker.blocks(blocks, "/view/blocks")
    if checker.wrong:
        raise SlackError("invalid_arguments", *checker.wrong)
    return view


def check_metadata(metadata: Any) -> Json:
    """A message's metadata. Raises SlackError invalid_metadata_format."""
    found = metadata if isinstance(metadata, dict) else {}
    # Bolt's assistant sends a null payload while no channel is looked at, and Slack takes it.
    payload = found.get("event_payload") if found.get("event_payload") is not None else {}
    if not isinstance(found.get("event_type"), str) or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_format")
    if "event_payload" not in found:
        raise SlackError("invalid_metadata_format")
    return {"event_type": found["event_type"], "event_payload": payload}
