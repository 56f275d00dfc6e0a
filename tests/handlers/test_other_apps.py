"""Words outside of a message's text, and messages of other apps: read on every surface, obeyed on none."""

from __future__ import annotations

from typing import Any

from running_bot import RunningBot, ephemerals_of, shown

from bot.inbox.payloads import Question
from bot.sandbox import messages
from handlers.listeners.intake import question_request

BOT = "@All-in-One Bot"
ALERT: list[dict[str, Any]] = [
    {"type": "header", "text": {"type": "plain_text", "text": "Checkout is slow"}},
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "p95: *4 s*"}]},
]


def said(bot: RunningBot, at: int = -1) -> list[str]:
    """The conversation of one prompt, without the system prompt."""
    prompt = bot.engine.prompts[at]
    return [message.content for message in prompt.messages[prompt.shared :]]


def as_person(bot: RunningBot, user: str, **fields: Any) -> dict[str, Any]:
    """A person's message as Slack sends one whose words are elsewhere than in its text."""
    box = bot.sandbox
    return {"type": "message", "user": box.users[user], "ts": box.workspace.new_ts(), "text": "", **fields}


def rich(*elements: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a person's message."""
    section = {"type": "rich_text_section", "elements": list(elements)}
    return [{"type": "rich_text", "elements": [section]}]


async def test_an_alert_is_in_the_prompt_of_who_asks_about_it(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post_app("Watchman", "general", "Checkout is slow", blocks=ALERT)
    await box.post_app("Deploys", "general", "", ts, attachments=[{"title": "Rolled out 7.2"}])
    await box.post("Bo", "general", "not again", ts)
    await box.post("Ada", "general", f"{BOT} what can I do?", ts)
    await bot.replies("general", ts)
    assert said(bot) == [
        "Watchman: Checkout is slow\np95: *4 s*",
        "Deploys: Rolled out 7.2",
        "Bo: not again",
        "Ada: what can I do?",
    ]


async def test_an_app_is_never_answered_and_its_tag_is_no_command(bot: RunningBot) -> None:
    box = bot.sandbox
    mention = f"<@{box.bot_user_id}>"
    await box.post_app("Watchman", "general", f"{mention} #EMOTION# - db is down")
    ts = await box.post("Ada", "general", f"{BOT} hello")
    await bot.replies("general", ts)
    await box.post_app("Watchman", "general", f"#EMOTION# - still down {mention}", ts)
    await box.post("Ada", "general", "and now?", ts)
    await bot.replies("general", ts, 2)
    await bot.idle()
    assert len(bot.engine.prompts) == 2
    assert said(bot)[-2:] == ["Watchman: #EMOTION# - still down", "Ada: and now?"]


async def test_an_alert_that_changes_is_remembered_as_it_is_now(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", f"{BOT} watch this")
    await bot.replies("general", ts)
    alert = await box.post_app("Watchman", "general", "Checkout is slow", ts)
    await box.post("Ada", "general", "why?", ts)
    await bot.replies("general", ts, 2)
    assert "Watchman: Checkout is slow" in said(bot)
    channel = box.workspace.channel("general")
    messages.change(box.context, channel, alert, blocks=[{"type": "markdown", "text": "Resolved"}])
    await box.post("Ada", "general", "and?", ts)
    await bot.replies("general", ts, 3)
    assert "Watchman: Resolved" in said(bot)


async def test_a_mention_in_blocks_alone_is_answered(bot: RunningBot) -> None:
    box = bot.sandbox
    dm = box.dm("Ada")
    blocks = rich({"type": "text", "text": "#EMOTION# - never again "}, {"type": "emoji", "name": "rage"})
    message = as_person(bot, "Ada", blocks=blocks)
    messages.post(box.context, box.workspace.channel(dm), message)
    (reply,) = await bot.replies(dm, message["ts"])
    assert shown(reply).startswith("😞 LLM 情感判断：负面")
    assert "never again 😡" in shown(reply)
    pasted = {"blocks": [{"type": "table", "rows": [[{"type": "raw_text", "text": "tea"}]]}]}
    message = as_person(bot, "Ada", attachments=[{**pasted, "fallback": "[no preview available]"}])
    messages.post(box.context, box.workspace.channel(dm), message)
    await bot.replies(dm, message["ts"])
    assert said(bot) == ["tea"]


async def test_classify_emotion_reads_what_a_message_shows(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post_app("Survey", "general", attachments=[{"text": "- the worst week", "fallback": "x"}])
    await box.shortcut("Ada", "classify_emotion", "general", ts)
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert answer["text"].startswith("😞 LLM 情感判断：负面")
    assert "the worst week" in shown(answer)


async def test_the_mood_of_a_thread_counts_people_whose_words_are_in_blocks(bot: RunningBot) -> None:
    box = bot.sandbox
    channel = box.workspace.channel("general")
    ts = await box.post_app("Watchman", "general", "- all is lost")
    message = as_person(bot, "Bo", blocks=rich({"type": "text", "text": "+ fixed it"}))
    messages.post(box.context, channel, message, ts)
    await box.shortcut("Ada", "thread_mood", "general", ts)
    answer = (await ephemerals_of(bot, "Ada"))[0]
    assert [line[0] for line in shown(answer).splitlines() if "{time}" in line] == ["😄"]


async def test_a_question_stored_before_blocks_were_kept_is_answered(bot: RunningBot) -> None:
    box = bot.sandbox
    ts = await box.post("Ada", "general", "what is new :tada:?")
    team, channel = (await bot.app.slack.identity()).team, box.workspace.channel("general").id
    kept = {"text": "what is new :tada:?", "files": []}
    question = Question(team, channel, ts, ts, box.users["Ada"], kept, "mention")
    await bot.app.slack.inbox.accept(question_request("chat", question))
    await bot.replies("general", ts)
    assert said(bot) == ["what is new 🎉?"]
