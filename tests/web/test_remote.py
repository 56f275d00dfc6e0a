"""LLM_URL: another server behind the engine's two methods."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai_server import Server, serving
from running_site import ScriptedEngine, open_site

from bot.engine import EngineBusy, EngineError, Message, NoLabel, Prompt, PromptTooLong, Sampling
from bot.engine.label_match import answered_label
from bot.engine.remote import UNSURE, RemoteEngine
from bot.roles import Role

PROMPT = Prompt((Message("system", "judge"), Message("user", "so good")))
LABELS = ["正面", "负面"]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server."""
    async with serving(Server()) as started:
        yield started


@pytest.fixture
async def remote(server: Server) -> AsyncIterator[RemoteEngine]:
    """The engine over it."""
    opened = await asyncio.to_thread(RemoteEngine, server.url, api_key="key")
    yield opened
    await opened.close()


async def said(remote: RemoteEngine, sampling: Sampling | None = None) -> str:
    """A whole answer."""
    return "".join([piece async for piece in remote.stream(PROMPT, sampling or Sampling())])


async def test_name_and_window_come_from_the_servers_list(server: Server, remote: RemoteEngine) -> None:
    assert (remote.name, remote.context_tokens) == ("far", 999)
    chosen = await asyncio.to_thread(RemoteEngine, server.url, model="other", context_tokens=512)
    assert (chosen.name, chosen.context_tokens) == ("other", 512)


async def test_text_arrives_whole_however_the_network_cuts_it(server: Server, remote: RemoteEngine) -> None:
    server.words = ["今天", "很", "好 👍🏽", "\n"]
    assert await said(remote) == "今天很好 👍🏽\n"
    assert server.bodies[-1]["messages"] == [
        {"role": "system", "content": "judge"},
        {"role": "user", "content": "so good"},
    ]
    assert server.keys == ["Bearer key"]


async def test_sampling_is_passed_on_and_what_is_not_set_is_left_out(
    server: Server, remote: RemoteEngine
) -> None:
    await said(remote, Sampling(max_tokens=9, temperature=0.5, seed=3, stop=("\n",), top_k=4))
    body = server.bodies[-1]
    assert (body["max_tokens"], body["temperature"], body["seed"], body["stop"]) == (9, 0.5, 3, ["\n"])
    assert body["top_k"] == 4
    assert not {"top_p", "repetition_penalty", "presence_penalty", "logit_bias", "min_p"} & set(body)
    await said(remote, Sampling(presence_penalty=0.5, frequency_penalty=-1, logit_bias=((7, -100),)))
    body = server.bodies[-1]
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0.5, -1)
    assert body["logit_bias"] == {"7": -100}


async def test_a_server_that_refuses_extra_fields_is_asked_without_them(
    server: Server, remote: RemoteEngine
) -> None:
    server.knows = ()
    assert await said(remote, Sampling(top_k=4, repetition_penalty=1.1)) == "正面"
    assert [("top_k" in body) for body in server.bodies] == [True, False]
    await said(remote, Sampling(top_k=4))
    assert len(server.bodies) == 3  # it is not tried again


@pytest.mark.parametrize("raw", [True, False])
async def test_labels_are_compared_by_log_probability(
    server: Server, remote: RemoteEngine, raw: bool
) -> None:
    server.raw_bytes = raw
    server.tops = {"": {"正": -0.2, "正面": -3.0, "负面": -1.8, "好": -4.0}}
    assert await remote.score(PROMPT, LABELS) == [-0.2, -1.8]
    assert server.bodies[-1]["max_tokens"] == 1


async def test_a_label_that_is_not_among_the_likeliest_is_below_them(
    server: Server, remote: RemoteEngine
) -> None:
    server.tops = {"": {"正面": -0.1, "好": -4.0}}
    assert await remote.score(PROMPT, LABELS) == [-0.1, -5.0]


async def test_labels_that_begin_alike_are_told_apart_by_what_follows(
    server: Server, remote: RemoteEngine
) -> None:
    server.tops = {
        "": {"very": -0.1, "neutral": -3.0},
        "very": {" good": -2.0, " bad": -0.2},
    }
    found = await remote.score(PROMPT, ["very good", "very bad", "neutral"])
    assert found == pytest.approx([-2.1, -0.3, -3.0])


async def test_a_server_without_log_probabilities_is_asked_for_the_answer(
    server: Server, remote: RemoteEngine
) -> None:
    server.knows = ()
    server.words = ["答案：", "负", "面。", "因为"]
    found = await remote.score(PROMPT, LABELS)
    assert [math.exp(score) for score in found] == pytest.approx([1 - UNSURE, UNSURE])
    server.words = ["I", " cannot", " say"]
    with pytest.raises(NoLabel, match="the server's model answered “I cannot say” instead of a label"):
        await remote.score(PROMPT, LABELS)


def test_the_first_label_of_an_answer_is_the_one_that_was_meant() -> None:
    assert answered_label("It is Negative, not positive", ["positive", "negative"]) == "negative"
    assert answered_label("very bad", ["very", "very bad"]) == "very bad"
    assert answered_label("hm", ["yes", "no"]) is None


@pytest.mark.parametrize(
    ("status", "text", "kind", "match"),
    [
        (429, "slow down", EngineBusy, "queue is full"),
        (503, "loading", EngineBusy, "queue is full"),
        (401, "no", EngineError, "set LLM_API_KEY"),
        (400, "the request exceeds the available context size", PromptTooLong, "too long"),
        (500, "boom", EngineError, "answers 500: boom"),
        (404, "no such model", EngineError, "answers 404"),
    ],
)
async def test_what_the_server_refuses_is_told_in_the_engines_words(
    server: Server, remote: RemoteEngine, status: int, text: str, kind: type[Exception], match: str
) -> None:
    server.status, server.said, server.headers = status, text, {"Retry-After": "7"}
    with pytest.raises(kind, match=match) as raised:
        await said(remote)
    if isinstance(raised.value, EngineBusy):
        assert raised.value.retry_after == 7


@pytest.mark.parametrize("ending", ['{"error": {"message": "worker died"}}', "not json", "[DONE]", "{}"])
async def test_a_stream_that_breaks_is_an_error_and_no_short_answer(
    server: Server, remote: RemoteEngine, ending: str
) -> None:
    server.breaks = ending
    with pytest.raises(EngineError):
        await said(remote)


async def test_a_server_that_is_away_is_named_and_found_when_it_comes(server: Server) -> None:
    away = await asyncio.to_thread(RemoteEngine, "http://127.0.0.1:1/v1")
    assert away.name == "remote"
    with pytest.raises(EngineError, match="cannot be reached"):
        await said(away)
    away._url = server.url  # it has started in the meantime
    assert await said(away) == "正面"
    assert away.name == "far"
    await away.close()


def test_tokens_are_guessed_on_the_safe_side() -> None:
    remote = RemoteEngine("http://127.0.0.1:1")
    text = "这是一个关于天气的句子。 This is a sentence about the weather."
    assert remote.count(Prompt((Message("user", text),))) > 12 + 8


async def test_one_bot_can_be_the_model_of_another(tmp_path: Path, roles: dict[str, Role]) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    async with open_site(tmp_path / "far", ScriptedEngine(answers=["正面"] * 50), roles) as far:
        engine = await asyncio.to_thread(RemoteEngine, far.url)
        async with open_site(tmp_path / "near", engine, roles) as near:
            status, found = await near.infer("great", mode="emotion")
            assert (status, found["emotion_label"]) == (200, "正面")
            far.engine.answers = ["hello from afar"]
            status, found = await near.infer("hi", mode="chat")
            assert (status, found["chat_response"]) == (200, "hello from afar")
        await engine.close()
