"""What the bot is measured against: keyword matching, SnowNLP and VADER."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from emotion_data import Row

GOOD = tuple(
    word
    for line in (
        "好 棒 赞 喜欢 爱 满意 不错 开心 高兴 推荐 舒服 方便 漂亮 优秀 完美 感谢 谢谢 惊喜 实惠 好吃 快乐",
        "good great love nice happy thanks excellent awesome perfect best fun",
    )
    for word in line.split()
)
BAD = tuple(
    word
    for line in (
        "差 坏 烂 慢 贵 难 讨厌 失望 垃圾 生气 后悔 脏 臭 吵 假 骗 退货 投诉 难吃 糟 悲 哭 痛 烦 恨 死",
        "bad hate worst sad angry terrible awful slow broken poor waste sorry",
    )
    for word in line.split()
)


@dataclass(frozen=True)
class Answer:
    """What a system says of one text. `confidence` is None where it has none; `seconds` is the time."""

    label: str
    confidence: float | None
    seconds: float


@dataclass(frozen=True)
class Peer:
    """A system that weighs a text between -1 and 1; from `least` either way it is not neutral."""

    name: str
    weigh: Callable[[str], float]
    least: float

    def answers(self, rows: list[Row], *, strict: bool) -> list[Answer]:
        """Its answer to each row, one after the other; a strict one is positive where it cannot tell."""
        least = 0.0 if strict else self.least
        found = []
        for row in rows:
            began = time.perf_counter()
            weight = self.weigh(row.text)
            label = "positive" if weight >= least else "negative" if weight <= -least else "neutral"
            found.append(Answer(label, None, time.perf_counter() - began))
        return found


def peers() -> list[Peer]:
    """All three. SnowNLP knows no neutral: the middle fifth is taken for it."""
    from snownlp import SnowNLP
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    vader = SentimentIntensityAnalyzer()

    def keywords(text: str) -> float:
        lowered = text.lower()
        return float(sum(word in lowered for word in GOOD) - sum(word in lowered for word in BAD))

    return [
        Peer("keyword matching", keywords, 1.0),
        Peer("SnowNLP", lambda text: 2 * SnowNLP(text).sentiments - 1, 0.2),
        Peer("VADER", lambda text: vader.polarity_scores(text)["compound"], 0.05),
    ]
