"""POST /api/infer keeps its contract."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from patience import wait_until
from running_site import ScriptedEngine, Site, open_site

from bot.emotion import EmotionClassifier
from bot.engine import Engine, EngineBusy, EngineError, PromptTooLong
from bot.roles import Role, load_role
from bot.web.json_body import MAX_SHORT

STREAMED = {"Accept": "text/event-stream"}
WHOLE = {"emotion_label", "chat_response", "inference_time_ms", "emotion", "thread"}


async def test_a_tag_picks_the_role_and_the_rest_is_null(site: Site) -> None:
    status, found = await site.infer("#EMOTION#今天太棒了！")
    assert status == 200
    assert set(found) == WHOLE
    assert found["emotion_label"] == found["emotion"]["label"] == "正面"
    assert found["chat_response"] is None
    assert found["thread"] is None
    assert found["inference_time_ms"] > 0
    _, found = await site.infer("#chat# hello there")
    assert found["chat_response"] == "You said hello there"
    assert found["emotion_label"] is None
    assert found["emotion"] is None


async def test_a_mode_does_the_same_as_a_tag(site: Site) -> None:
    _, found = await site.infer("- awful", mode="emotion")
    assert (found["emotion_label"], found["chat_response"]) == ("负面", None)
    _, found = await site.infer("hello", mode="chat")
    assert (found["emotion_label"], found["chat_response"]) == (None, "You said hello")


async def test_without_tag_and_mode_both_roles_answer(site: Site) -> None:
    _, found = await site.infer("hello")
    assert (found["emotion_label"], found["chat_response"]) == ("正面", "You said hello")


async def test_characters_bound_what_is_classified_and_tokens_what_is_answered(site: Site) -> None:
    long = "=" * (MAX_SHORT + 1)
    status, found = await site.infer(long, mode="emotion")
    assert (status, found["error"]["code"]) == (413, "too_long")
    assert (await site.infer(long, mode="chat"))[0] == 200
    status, found = await site.infer("word " * 3000, mode="chat")
    assert (status, found["error"]["code"]) == (413, "too_long")


async def test_a_text_beyond_the_window_is_told_how_long_it_is_and_once_to_shorten_it(site: Site) -> None:
    _, of_question = await site.infer("word " * 3000, mode="chat")
    site.engine.problem = PromptTooLong(5000, 4096)
    _, of_prompt = await site.infer("hi", mode="emotion")
    for found in (of_question, of_prompt):
        message = found["error"]["message"]
        assert message.lower().count("please shorten it") == 1
        assert re.search(r"[35]\d{3} tokens, and \d{4} fit", message)


async def test_a_thread_goes_on_and_others_know_nothing_of_it(site: Site) -> None:
    _, first = await site.infer("my cat is Tom", mode="chat")
    _, second = await site.infer("who is my cat?", mode="chat", thread=first["thread"])
    assert second["thread"] == first["thread"]
    said = [message.content for message in site.engine.prompts[-1].messages[1:]]
    assert said == ["my cat is Tom", "You said my cat is Tom", "who is my cat?"]
    await site.infer("who is my cat?", mode="chat")
    assert [message.content for message in site.engine.prompts[-1].messages[1:]] == ["who is my cat?"]


async def test_evidence_comes_only_when_it_is_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    explain = EmotionClassifier.explain

    async def noted(self: EmotionClassifier, text: str, *rest: Any, **how: Any) -> Any:
        asked.append(text)
        return await explain(self, text, *rest, **how)

    monkeypatch.setattr(EmotionClassifier, "explain", noted)
    _, found = await site.infer("太棒了", mode="emotion")
    assert (found["emotion"]["evidence"], found["emotion"]["explanation"], asked) == (None, None, [])
    _, found = await site.infer("太棒了", mode="emotion", explain=True)
    assert asked == ["太棒了"]
    assert isinstance(found["emotion"]["evidence"], list)
    assert "正面" in found["emotion"]["explanation"]


async def test_shares_and_weights_have_four_digits(site: Site) -> None:
    _, found = await site.infer("午饭很好吃，就是- 太贵了", mode="emotion", explain=True)
    assert found["emotion"]["evidence"]
    assert re.search(r"0\.\d{4}\b", json.dumps(found["emotion"]["evidence"]))
    assert not re.search(r"\.\d{5}", json.dumps(found["emotion"]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "`text` is missing"),
        ({"text": ""}, "`text` is empty"),
        ({"text": " \n\t "}, "`text` is empty"),
        ({"text": "#EMOTION#"}, "`text` is empty"),
        ({"text": 7}, "must be text, not a number"),
        ({"text": None}, "must be text, not null"),
        ({"text": "a\x00b"}, "null character at position 1"),
        ({"text": "a", "mode": "poet"}, "there is no mode 'poet'"),
        ({"text": "a", "mode": ["chat"]}, "`mode` must be text, not a list"),
        ({"text": "#CHAT#a", "mode": "emotion"}, "send one of them"),
        ({"text": "a", "thread": "../etc"}, "`thread` must be"),
        ({"text": "a", "strict": "yes"}, "`strict` must be true or false, not text"),
        ({"text": "a", "explain": 1}, "`explain` must be true or false, not a number"),
        ({"text": "a", "txet": "b"}, "`txet` is not known here"),
        ([], "must be a JSON object, not a list"),
        ("a", "must be a JSON object, not text"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(site: Site, body: object, said: str) -> None:
    status, found, _ = await site.post("/api/infer", body)
    assert status == 400
    assert found["error"]["code"] == "bad_request"
    assert said in found["error"]["message"]
    assert site.engine.prompts == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON: "),
        (b'{"text": NaN}', "NaN is not a JSON number"),
        (b'{"text": "\xff"}', "not UTF-8: byte 10"),
        (b'{"text": "\\ud83d"}', "half a surrogate pair at position 0"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b'{"text": 1' + b"0" * 9000 + b"}", "not JSON that can be read"),
    ],
)
async def test_a_body_that_is_no_json_is_refused_kindly(site: Site, data: bytes, said: str) -> None:
    async with site.http.post(f"{site.url}/api/infer", data=data) as answer:
        found = await answer.json()
        assert answer.status == 400
    assert said in found["error"]["message"]


async def test_curl_need_not_name_the_type_but_a_browser_must(site: Site) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    data = json.dumps({"text": "#EMOTION#好"})
    async with site.http.post(f"{site.url}/api/infer", data=data, headers=form) as answer:
        assert answer.status == 200
    for name, value in (("Origin", site.url), ("Sec-Fetch-Site", "same-origin")):
        headers = form | {name: value}
        async with site.http.post(f"{site.url}/api/infer", data=data, headers=headers) as answer:
            assert answer.status == 400
            assert "Content-Type: application/json" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("problem", "status", "code", "retry"),
    [
        (EngineBusy(7.2), 503, "busy", "8"),
        (PromptTooLong(5000, 4096), 413, "too_long", None),
        (EngineError("secret path /home/x"), 503, "engine_failed", "2"),
        (KeyError("secret path /home/x"), 500, "internal", None),
    ],
)
async def test_what_fails_inside_is_told_by_status_and_code(
    site: Site, problem: Exception, status: int, code: str, retry: str | None
) -> None:
    site.engine.problem = problem
    for mode in ("emotion", "chat"):
        found_status, found, answer = await site.post("/api/infer", {"text": "hi", "mode": mode})
        assert (found_status, found["error"]["code"]) == (status, code)
        assert answer.headers.get("Retry-After") == retry
        assert "secret" not in found["error"]["message"]
        assert "Traceback" not in await answer.text()


async def test_without_a_database_emotions_are_classified_and_chat_says_so(site: Site) -> None:
    assert site.opening.services is not None
    storage = site.opening.services.storage
    async with storage._engine.begin() as connection:  # another program has changed the file
        await connection.exec_driver_sql("DROP TABLE turns")
    assert (await site.infer("fine", mode="emotion"))[0] == 200
    status, found, answer = await site.post("/api/infer", {"text": "hi", "mode": "chat"})
    assert (status, found["error"]["code"], answer.headers["Retry-After"]) == (503, "storage", "10")
    assert "turns" not in found["error"]["message"]


async def test_while_the_model_loads_the_answer_is_503(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, loaded=False) as site:
        status, found, answer = await site.post("/api/infer", {"text": "hi"})
        assert (status, found["error"]["code"], answer.headers["Retry-After"]) == (503, "loading", "3")


async def test_a_reply_streams_and_ends_as_safe_html(site: Site) -> None:
    site.engine.answers = ["Some **bold** text <script>alert(1)</script>"]
    events = [event async for event in _events(site, {"text": "hello"})]
    names = [name for name, _ in events]
    assert names[0] == "emotion"
    assert names[-1] == "done"
    assert events[0][1]["line"] == "😄 LLM 情感判断：正面"
    assert "".join(data["text"] for name, data in events if name == "piece") == events[-1][1]["chat_response"]
    assert "<strong>bold</strong>" in events[-1][1]["html"]
    assert "<script" not in events[-1][1]["html"]
    assert set(events[-1][1]) == WHOLE | {"html"}


async def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(site: Site) -> None:
    site.engine.broken_after = 2
    events = [event async for event in _events(site, {"text": "a b c d", "mode": "chat"})]
    assert events[-1][0] == "error"
    assert events[-1][1]["error"]["code"] == "engine_failed"


@pytest.mark.parametrize(
    ("accepts", "word"), [("en-GB", "negative"), ("zh-CN,en;q=0.5", ""), ("fr", "negative")]
)
async def test_a_stream_says_the_label_in_the_readers_language(site: Site, accepts: str, word: str) -> None:
    headers = {"Accept": "text/event-stream", "Accept-Language": accepts}
    found = [data async for _, data in _events(site, {"text": "- awful", "mode": "emotion"}, headers)]
    assert (found[0]["line"], found[0]["word"]) == ("😞 LLM 情感判断：负面", word)


async def test_a_reply_that_breaks_off_keeps_its_text(site: Site) -> None:
    site.engine.answers, site.engine.broken_after = ["one **two** three four"], 3
    events = [event async for event in _events(site, {"text": "count", "mode": "chat"})]
    assert events[-1][1]["html"] == "<p>one <strong>two</strong> three</p>\n"


async def test_a_bot_that_stops_says_so_in_its_streams(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(gate=asyncio.Event()), roles) as site:
        events = []
        async for name, data in _events(site, {"text": "a long answer", "mode": "chat"}):
            events.append((name, data))
            site.context.stopping.set()
        assert events[-1][0] == "error"
        assert events[-1][1]["error"]["code"] == "stopping"
        assert events[-1][1]["html"] == "<p>You</p>\n"
        assert site.engine.closed == 1


async def test_a_client_that_goes_away_frees_the_engine(site: Site) -> None:
    site.engine.gate = asyncio.Event()
    async for name, _ in _events(site, {"text": "one two three", "mode": "chat"}):
        assert name == "piece"
        break
    await wait_until(lambda: site.engine.closed == 1)


async def test_a_third_role_is_one_file(tmp_path: Path, roles: dict[str, Role]) -> None:
    file = tmp_path / "pirate.toml"
    file.write_text('system = "You are a pirate."\n[sampling]\nmax_tokens = 8\n', encoding="utf-8")
    async with open_site(tmp_path, ScriptedEngine(), {**roles, "pirate": load_role(file)}) as site:
        status, found = await site.infer("hello", mode="pirate")
        assert (status, found["chat_response"]) == (200, "You said hello")
        assert site.engine.prompts[-1].messages[0].content == "You are a pirate."


@pytest.mark.model
async def test_the_real_model_tells_good_from_bad(
    tmp_path: Path, engine: Engine, roles: dict[str, Role]
) -> None:
    async with open_site(tmp_path, engine, roles) as site:
        _, found = await site.infer("#EMOTION#今天的实验终于成功了，太棒了！")
        assert found["emotion_label"] == "正面"
        _, found = await site.infer("#EMOTION#快递又丢了，客服还挂我电话")
        assert found["emotion_label"] == "负面"


async def _events(site: Site, body: dict[str, Any], headers: Mapping[str, str] = STREAMED) -> Any:
    """The events of a streamed answer as (name, data)."""
    async with site.http.post(f"{site.url}/api/infer", json=body, headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        name = ""
        async for line in answer.content:
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])
