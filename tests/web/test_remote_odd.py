"""Odd replies of the server at LLM_URL concern one text each, and thoughts are no part of an answer."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import Server, serving
from running_site import open_site

from bot.emotion import EmotionClassifier
from bot.engine import AnsweredScores, Message, Prompt, Sampling, remote
from bot.engine.remote import MUTE_AFTER, UNSURE, RemoteEngine
from bot.roles import Role

PROMPT = Prompt((Message("system", "judge"), Message("user", "so good")))
LABELS = ["正面", "负面", "中性"]
NORMAL = {"": {"正": -0.1, "负": -3.0, "中": -4.0}}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server whose model would say 负面 and measures 正面."""
    async with serving(Server(tops=dict(NORMAL), words=["负", "面"])) as started:
        yield started


@pytest.fixture
async def engine(server: Server) -> AsyncIterator[RemoteEngine]:
    """The engine over it."""
    opened = await asyncio.to_thread(RemoteEngine, server.url)
    yield opened
    await opened.close()


def reply(logprobs: Any) -> str:
    """A reply with these log-probabilities."""
    return json.dumps({"choices": [{"message": {"content": "x"}, "logprobs": logprobs}]})


def top(*entries: Any) -> str:
    """A reply whose first token has these alternatives."""
    return reply({"content": [{"token": "x", "logprob": 0.0, "top_logprobs": list(entries)}]})


ODD = {
    "a thought": top({"token": "<think>", "logprob": -0.01}, {"token": "好", "logprob": -5}),
    "null": reply(None),
    "null content": reply({"content": None}),
    "no tokens": reply({"content": []}),
    "null alternative": top(None),
    "no number": top({"token": "正", "logprob": None}),
    "no finite number": top({"token": "正", "logprob": -math.inf}),
    "no bytes": top({"token": "正", "logprob": -1, "bytes": [999]}),
    "old shape": reply({"tokens": ["正"], "token_logprobs": [-0.1]}),
    "no choices": json.dumps({"choices": []}),
    "a list": "[]",
    "no JSON": "<html>",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_reply_concerns_its_own_text_alone(
    server: Server, engine: RemoteEngine, odd: str
) -> None:
    for _ in range(MUTE_AFTER + 1):
        server.odd = [odd]
        answered = await engine.score(PROMPT, LABELS)
        assert isinstance(answered, AnsweredScores)
        assert [math.exp(each) for each in answered] == pytest.approx([0.125, UNSURE, 0.125])
        assert await engine.score(PROMPT, LABELS) == [-0.1, -3.0, -4.0]


async def test_labels_that_no_reply_tells_apart_are_answered_and_no_tie(
    server: Server, engine: RemoteEngine
) -> None:
    server.tops = {"": {"very": -0.1, "neutral": -3.0}, "very": {"I": -0.1}}
    server.words = ["very bad"]
    found = await engine.score(PROMPT, ["very good", "very bad", "neutral"])
    assert isinstance(found, AnsweredScores)
    assert max(found) == found[1]


async def test_a_server_that_never_tells_is_asked_for_answers_alone_and_later_again(
    server: Server, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tops = {}
    for _ in range(MUTE_AFTER + 2):
        await engine.score(PROMPT, LABELS)
    assert sum("logprobs" in body for body in server.bodies) == MUTE_AFTER
    server.tops = dict(NORMAL)
    assert isinstance(await engine.score(PROMPT, LABELS), AnsweredScores)
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.0)
    assert await engine.score(PROMPT, LABELS) == [-0.1, -3.0, -4.0]
    monkeypatch.undo()
    assert await engine.score(PROMPT, LABELS) == [-0.1, -3.0, -4.0]


async def test_what_was_answered_keeps_its_confidence_whatever_the_calibration(
    server: Server, engine: RemoteEngine, roles: dict[str, Role]
) -> None:
    """Contextual calibration leans away from 负面 here by more than an answered label has."""
    classifier = EmotionClassifier(engine, roles)
    server.tops = {"": {"正": -6.0, "负": -0.1, "中": -6.0}}
    measured = await classifier.classify("还行吧")
    assert measured.confidence < UNSURE
    server.odd = [ODD["a thought"]]
    odd = await classifier.classify("等了两个小时")
    assert (odd.label, odd.confidence) == ("负面", pytest.approx(UNSURE))
    assert await classifier.classify("还行吧") == measured


async def test_texts_that_calibrate_and_get_no_label_hold_no_other_text_up(
    server: Server, engine: RemoteEngine, roles: dict[str, Role]
) -> None:
    server.words = ["I cannot say"]
    classifier = EmotionClassifier(engine, roles)
    server.odd = [top({"token": "正", "logprob": -0.1}), *[ODD["null"]] * 6]
    assert (await classifier.classify("太好了")).label == "正面"


async def test_an_answer_that_is_no_label_is_told_as_what_it_is(
    server: Server, engine: RemoteEngine, roles: dict[str, Role], tmp_path: Path
) -> None:
    server.tops, server.words = {}, ["Sure!", " Here", " is a poem."]
    async with open_site(tmp_path, engine, roles) as site:
        status, found = await site.infer("great", mode="emotion")
    assert (status, found["error"]["code"]) == (503, "no_label")
    assert "answered “Sure! Here is a poem.” instead of a label" in found["error"]["message"]


async def test_a_label_behind_a_thought_is_found(server: Server, engine: RemoteEngine) -> None:
    server.tops, server.words = {}, ["<think>\nIs it 正面?", " Hardly. ", "</think>\n\n", "负面"]
    found = await engine.score(PROMPT, LABELS)
    assert max(found) == found[1]


async def said(engine: RemoteEngine, prompt: Prompt = PROMPT) -> str:
    """A whole answer."""
    return "".join([piece async for piece in engine.stream(prompt, Sampling())])


@pytest.mark.parametrize(
    "event",
    [
        {"choices": None},
        {"choices": 5},
        {"choices": {"delta": "x"}},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"content": 5}}]},
        {"error": None, "choices": []},
        [],
        None,
    ],
    ids=json.dumps,
)
async def test_an_event_without_text_takes_none_from_the_answer(
    server: Server, engine: RemoteEngine, event: Any
) -> None:
    server.events, server.words = [event], ["Hi", " there"]
    assert await said(engine) == "Hi there"


async def test_thoughts_are_not_streamed(server: Server, engine: RemoteEngine) -> None:
    server.deltas = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "let me see"},
        {"reasoning": "hm", "content": ""},
        {"content": "<thi"},
        {"content": "nk>x</thin"},
        {"content": [{"type": "thinking", "thinking": "y"}]},
        {"content": "k>\n\n"},
        {"content": [{"type": "text", "text": "Hi"}]},
        {"content": " <think> is a tag"},
    ]
    assert await said(engine) == "Hi <think> is a tag"


async def test_an_answer_that_was_begun_has_no_thought_before_it(
    server: Server, engine: RemoteEngine
) -> None:
    server.words = ["<think>", " begins one"]
    assert await said(engine, Prompt(PROMPT.messages, opening="The tag ")) == "<think> begins one"


async def test_a_thought_is_not_stored(
    server: Server, engine: RemoteEngine, roles: dict[str, Role], tmp_path: Path
) -> None:
    server.words = ["<think>secret", " plan</think>", "\nHello"]
    async with open_site(tmp_path, engine, roles) as site:
        status, found = await site.infer("hi", mode="chat")
        assert (status, found["chat_response"]) == (200, "Hello")
        await site.infer("and again", mode="chat", thread=found["thread"])
    assert "Hello" in json.dumps(server.bodies[-1]["messages"])
    assert "secret" not in json.dumps(server.bodies[-1]["messages"])


async def test_two_requests_at_once_both_go_without_what_the_server_refuses(
    server: Server, engine: RemoteEngine
) -> None:
    server.knows = ()

    async def answer() -> str:
        return "".join([piece async for piece in engine.stream(PROMPT, Sampling(top_k=5))])

    assert await asyncio.gather(answer(), answer()) == ["负面", "负面"]
