"""How a text sounds: classified for Slack, and shown to its asker alone."""

from __future__ import annotations

from dataclasses import dataclass

from bot.emotion import Emotion, EmptyText
from bot.emotion.sentences import emotion_line, label_aside, label_word, omitted_text
from bot.engine import NoLabel
from bot.inbox import Job
from bot.inbox.payloads import ClassifyText
from config.strings import Strings
from handlers.formatting.sanitize import escape, quote
from handlers.replies import blocks
from handlers.transport.context import SlackContext, user_key
from handlers.transport.response_url import respond_once

FEELINGS = "feelings"
MOST_SPANS = 3  # named as the reason
MOST_QUOTED = 80  # characters of the text that a reason standing alone is about


@dataclass(frozen=True)
class Reason:
    """Why a text got its label: as a notification says it, and as it is shown, with the spans in bold."""

    text: str
    block: blocks.Block


@dataclass(frozen=True)
class Classified:
    """A classified text, ready to be shown."""

    text: str
    emotion: Emotion
    line: str

    @property
    def confidence(self) -> float:
        """How sure the model is, from 0 to 1."""
        return self.emotion.confidence

    async def reason(self, slack: SlackContext, strings: Strings) -> Reason | None:
        """The spans that were decisive, each with its weight; None where none stands out."""
        found = await slack.services.classifier.explain(self.text, self.emotion)
        spans = [
            (" ".join(span.text.split()), strings("because_weight", weight=f"{span.weight:+.2f}"))
            for span in found.evidence[:MOST_SPANS]
            if span.text.strip() and span.weight > 0
        ]
        if not spans:
            return None
        comma = strings("explanation_separator")
        words = comma.join(escape(text) + weight for text, weight in spans)
        before, _, after = strings("because").partition("{words}")
        texts = [(before, False)]
        for number, (text, weight) in enumerate(spans):
            texts += [(comma if number else "", False), (text, True), (weight, False)]
        return Reason(strings("because", words=words), blocks.rich([*texts, (after, False)]))


async def classify(
    slack: SlackContext, strings: Strings, text: str, user: str, role: str = "emotion"
) -> Classified | None:
    """How `text` sounds, by `user`'s own settings; None for a text with nothing to classify.

    role: another one than emotion adds a line with its label.
    """
    settings = await slack.services.storage.settings(user)
    classifier = slack.services.classifier
    try:
        emotion = await classifier.classify(text, strict=settings.neutral is False)
        line = emotion_line(emotion, slack.services.roles["emotion"]) + label_aside(emotion, strings.language)
        if role != "emotion":
            finer = await classifier.classify(text, role=role)
            parts = (label_word(finer, strings.language), f"{finer.confidence:.0%}")
            details = ", ".join(filter(None, parts))
            row = strings("feelings_row", emoji=finer.emoji, label=finer.label, details=details)
            line += f"\n{row}"
        if omitted := omitted_text(emotion, strings):
            line += f"\n{omitted}"
    except EmptyText:
        return None
    return Classified(text, emotion, line)


async def show_emotion(slack: SlackContext, job: Job[ClassifyText]) -> None:
    """Classify the request's text for its asker, with a button to share it; then say why."""
    payload = job.payload
    strings = await slack.strings(payload.team, payload.user)
    if job.late(slack.services.settings.answer_within):
        await respond_once(slack, job, strings("too_late"))
        return
    user = user_key(payload.team, payload.user)
    try:
        result = await classify(slack, strings, payload.text, user, payload.role)
    except NoLabel as problem:
        await respond_once(slack, job, strings("no_label", answer=escape(problem.answer)))
        return
    if result is None:
        await respond_once(slack, job, strings("nothing_to_classify"))
        return
    content = blocks.emotion_blocks(
        result.line, result.confidence, strings, job.key, quoted=quote(result.text, 300)
    )
    await respond_once(slack, job, result.line, content)
    # Slack replaces no answer to a command: the reason is a second one, and others may stand between them.
    if reason := await result.reason(slack, strings):
        about = blocks.context(quote(" ".join(result.text.split()), MOST_QUOTED))
        await respond_once(slack, job, reason.text, [reason.block, about])
