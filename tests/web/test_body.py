"""A request's body: however it is encoded and however slowly it comes, others are served."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from patience import PATIENCE
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role
from bot.web import json_body

BODY = json.dumps({"text": "#EMOTION#好"}).encode()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send(site: Site, body: bytes, *headers: str, length: int | None = None) -> Connection:
    """Post bytes as they are; `length` says that more of them will come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(site.url).port)
    sent = ["POST /api/infer HTTP/1.1", "Host: localhost", f"Content-Length: {length or len(body)}"]
    writer.write("\r\n".join([*sent, *headers, "", ""]).encode() + body)
    return reader, writer


async def status_of(connection: Connection) -> tuple[int, str]:
    """The status and the code of an error."""
    reader, writer = connection
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    found = json.loads(await reader.readexactly(int(fields["Content-Length"])))
    writer.close()
    return int(head.split()[1]), found.get("error", {}).get("code", "")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"nothing that was deflated", "deflate"),
        (BODY, "gzip"),
        (gzip.compress(BODY) + b"more", "gzip"),
        (zlib.compress(BODY)[:-5], "deflate"),
        (gzip.compress(BODY)[:-20], "gzip"),
        (b"\x0b\x02\x80 no brotli", "br"),
        (b"no zstandard", "zstd"),
    ],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    site: Site, body: bytes, encoding: str
) -> None:
    found = await status_of(await send(site, body, f"Content-Encoding: {encoding}"))
    assert found == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(gzip.compress(BODY), "gzip"), (zlib.compress(BODY), "deflate"), (b"\xef\xbb\xbf" + BODY, "identity")],
)
async def test_a_compressed_body_and_a_byte_order_mark_are_read(
    site: Site, body: bytes, encoding: str
) -> None:
    assert await status_of(await send(site, body, f"Content-Encoding: {encoding}")) == (200, "")


@pytest.mark.parametrize("charset", ["utf-16", "gb18030"])
async def test_another_charset_is_named_as_the_mistake(site: Site, charset: str) -> None:
    body = json.dumps({"text": "好"}, ensure_ascii=False).encode(charset)
    head = f"Content-Type: application/json; charset={charset}"
    assert await status_of(await send(site, body, head)) == (400, "bad_request")


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(site: Site) -> None:
    bomb = gzip.compress(b" " * 80_000_000)
    assert len(bomb) < json_body.MAX_BODY
    assert await status_of(await send(site, bomb, "Content-Encoding: gzip")) == (413, "too_large")


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(site: Site) -> None:
    assert await status_of(await send(site, b"{", length=json_body.MAX_BODY + 1)) == (413, "too_large")


async def test_bodies_that_do_not_come_take_no_place(
    tmp_path: Path, roles: dict[str, Role], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, max_queue=2) as site:
        slow = [await send(site, BODY[:7], length=len(BODY)) for _ in range(20)]
        assert (await site.infer("fine", mode="emotion"))[0] == 200
        monkeypatch.setattr(json_body, "READ_SECONDS", 0.2)
        assert await status_of(await send(site, BODY[:7], length=len(BODY))) == (408, "timeout")
        for reader, writer in slow:
            assert not reader.at_eof()
            writer.close()


async def test_many_large_bodies_on_their_way_leave_room_for_small_ones(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "MAX_ARRIVING", 100_000)
    first = await send(site, b'{"text": "' + b"a" * 140_000, length=200_000)
    second = await send(site, b'{"text": "' + b"a" * 140_000, length=200_000)
    done, _ = await asyncio.wait(
        [asyncio.ensure_future(status_of(each)) for each in (first, second)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert [each.result() for each in done] == [(503, "busy")]
    assert (await site.infer("fine", mode="emotion"))[0] == 200
