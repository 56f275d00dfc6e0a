"""A model from the Hugging Face hub: its needed files, continued where they stopped, its own sums checked."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import RemoteEntryNotFoundError
from huggingface_hub.file_download import http_get
from tqdm import tqdm

from bot.models.catalogue import HubModel, ModelError

NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
WANTED = ("generation_config.json", "special_tokens_map.json", "chat_template.jinja", "LICENSE")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that the hub has
ANSWER_SECONDS = 5.0  # for each step of a request
PATIENCE_SECONDS = 10.0  # for the first answer; looking up a name keeps no time limit of its own
_BLOCK = 1 << 20


class HubUnreachable(ModelError):
    """Nothing that speaks like a model hub answered within seconds."""


@dataclass(frozen=True)
class HubFile:
    """One file of a revision. `checksum` is the sha256 of a large file, the git blob sha1 of a small one."""

    name: str
    size: int
    checksum: str
    url: str


def fetch_from_hub(model: HubModel, directory: Path, endpoint: str | None = None) -> dict[str, Any]:
    """Put the files of `model` into `directory` and return what to record about them.

    Files that are there are kept if their sums agree, and half of a file is continued. `endpoint` is
    HF_ENDPOINT, None for the hub itself. Raises HubUnreachable, or ModelError.
    """
    revision, files = _list(model, endpoint)
    for file in files:
        _fetch(file, directory)
    return {
        "repository": model.repository,
        "revision": revision,
        "checksums": {file.name: file.checksum for file in files},
    }


def _list(model: HubModel, endpoint: str | None) -> tuple[str, list[HubFile]]:
    """The commit that the revision stands for, and the files to fetch from it."""
    revision = _first_answer(model, endpoint)
    if model.gguf:
        return revision, [_named(model, revision, model.gguf, endpoint)]
    files = []
    for name in (*NEEDED, *WANTED):
        if name in NEEDED:
            files.append(_named(model, revision, name, endpoint))
        elif (file := _find(model, revision, name, endpoint)) is not None:
            files.append(file)
    for name in WEIGHTS:
        if (file := _find(model, revision, name, endpoint)) is not None:
            return revision, [*files, file]
    raise ModelError(f"{model.repository} has none of {', '.join(WEIGHTS)} at {revision}")


def _first_answer(model: HubModel, endpoint: str | None) -> str:
    """The commit of the model's revision. Raises HubUnreachable after PATIENCE_SECONDS at the latest."""
    url = hf_hub_url(model.repository, model.gguf or NEEDED[0], revision=model.revision, endpoint=endpoint)
    found: list[str | None] = []
    problems: list[Exception] = []

    def ask() -> None:
        try:
            found.append(get_hf_file_metadata(url, timeout=ANSWER_SECONDS).commit_hash)
        except Exception as problem:  # the client's faults come from a library that its versions differ in
            problems.append(problem)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    if found and found[0]:
        return found[0]
    if model.gguf and problems and isinstance(problems[0], RemoteEntryNotFoundError):
        raise ModelError(f"{model.repository} has no {model.gguf} at {model.revision}: update this program")
    reason = "it is no model hub" if found else _line(problems[0]) if problems else "no answer"
    raise HubUnreachable(f"no model hub at {url.split('/' + model.repository)[0]} ({reason})")


def _named(model: HubModel, revision: str, name: str, endpoint: str | None) -> HubFile:
    """A file that must be there. Raises ModelError."""
    if (file := _find(model, revision, name, endpoint)) is None:
        raise ModelError(f"{model.repository} has no {name} at {revision}")
    return file


def _find(model: HubModel, revision: str, name: str, endpoint: str | None) -> HubFile | None:
    url = hf_hub_url(model.repository, name, revision=revision, endpoint=endpoint)
    try:
        about = get_hf_file_metadata(url, timeout=ANSWER_SECONDS)
    except RemoteEntryNotFoundError:
        return None
    except Exception as problem:  # as above
        raise ModelError(f"the hub does not tell about {name} ({_line(problem)}): try again later") from None
    if about.size is None or not re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", about.etag or ""):
        raise ModelError(f"{url} comes without size and sum: set HF_ENDPOINT to a hub that tells them")
    return HubFile(name, about.size, str(about.etag), url)


def _fetch(file: HubFile, directory: Path) -> None:
    target, half = directory / file.name, directory / f"{file.name}.half"
    if target.is_file() and target.stat().st_size == file.size and _checksum(target, file) == file.checksum:
        return
    target.unlink(missing_ok=True)
    continued = half.is_file() and 0 < half.stat().st_size <= file.size
    if not continued:
        half.unlink(missing_ok=True)
    _download(file, half)
    if continued and _checksum(half, file) != file.checksum:  # the first part was another revision's
        half.unlink()
        _download(file, half)
    if _checksum(half, file) != file.checksum:
        half.unlink()
        raise ModelError(f"{file.name} arrived damaged, its sum differs from the hub's: fetch it again")
    half.replace(target)


def _download(file: HubFile, half: Path) -> None:
    with half.open("ab") as out:
        there = out.tell()
        try:
            http_get(
                file.url,
                out,
                resume_size=there,
                expected_size=file.size,
                displayed_filename=file.name,
            )
        except Exception as problem:  # as above
            raise ModelError(
                f"{file.name} did not arrive whole ({_line(problem)}): "
                "run the same again, it goes on from there"
            ) from None


def _checksum(path: Path, file: HubFile) -> str:
    """The sum of `path`, of the kind that the hub gives for this file."""
    size = path.stat().st_size
    if len(file.checksum) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)  # as git names a file
    with (
        path.open("rb") as opened,
        tqdm(
            total=size, desc=f"checking {file.name}", unit="B", unit_scale=True, delay=1, leave=False
        ) as bar,
    ):
        while block := opened.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
