"""`fetch`: a model directory under models/, there only when it is whole."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from bot.models.catalogue import (
    CATALOGUE,
    MISSION,
    MODELS,
    STARTER,
    Entry,
    HubModel,
    ModelError,
    PackagedModel,
    entry_named,
)
from bot.models.check import check_model
from bot.models.hub import HubUnreachable, fetch_from_hub
from bot.models.packages import fetch_from_packages

SOURCE = "source.json"  # where a directory's files come from
_CALIBRATION = "calibration.json"  # a person's own work, which a model fetched anew keeps


def fetch(name: str | None = None, endpoint: str | None = None, models: Path = MODELS) -> Path:
    """The directory of the model called `name` under `models`, fetched unless it is there and whole.

    Without a name it is the mission's model, and the starter where no hub answers within seconds.
    `endpoint` is HF_ENDPOINT. Raises ModelError, or UnknownModel.
    """
    if name is not None:
        return fetch_entry(entry_named(name), endpoint, models)
    for entry in CATALOGUE.values():
        if _whole(models / entry.name):
            return _said(models / entry.name)
    try:
        return fetch_entry(MISSION, endpoint, models)
    except HubUnreachable as problem:
        print(f"{problem}; taking the {STARTER.name} from the package index", flush=True)
        return fetch_entry(STARTER, endpoint, models)


def fetch_entry(entry: Entry, endpoint: str | None, models: Path) -> Path:
    """As `fetch`, for one entry of a catalogue."""
    directory, part = models / entry.name, models / f"{entry.name}.part"
    try:
        models.mkdir(parents=True, exist_ok=True)
        with FileLock(models / ".fetch.lock"):  # two at once would write the same files
            if _whole(directory) and _is_of(entry, directory):
                return _said(directory)
            _make_part(entry, directory, part)
            source = _fill(entry, part, endpoint)
            check_model(part)
            (part / SOURCE).write_text(json.dumps({"name": entry.name, **source}, indent=2) + "\n")
            if directory.is_dir():  # the converted model of an older version, of use until now
                if (directory / _CALIBRATION).is_file():
                    shutil.copy2(directory / _CALIBRATION, part)
                shutil.rmtree(directory)
            part.rename(directory)
    except HubUnreachable:
        with suppress(OSError):  # what an earlier fetch left stays
            part.rmdir()
        raise
    except OSError as problem:
        raise ModelError(
            f"{entry.name} cannot be stored under {models}: {problem.strerror or problem}"
        ) from None
    print(f"{directory} is complete", flush=True)
    return directory


def _fill(entry: Entry, part: Path, endpoint: str | None) -> dict[str, Any]:
    if isinstance(entry, HubModel):
        return fetch_from_hub(entry, part, endpoint)
    return fetch_from_packages(entry, part)


def _is_of(entry: Entry, directory: Path) -> bool:
    """Whether the directory holds what the entry is stored as: older versions converted GGUF files."""
    return isinstance(entry, HubModel) or (directory / f"{entry.name}.gguf").is_file()


def _make_part(entry: Entry, directory: Path, part: Path) -> None:
    """The directory that fills up beside the final one, with what an earlier fetch left of it."""
    if _whole(directory):
        pass  # of another kind: it stays until the new one is complete
    elif directory.is_dir() and not part.exists():
        directory.rename(part)  # damaged: what is sound in it is kept
    elif directory.is_dir():
        shutil.rmtree(directory)
    part.mkdir(exist_ok=True)
    for made in part.glob("prepared-*"):  # from weights that are fetched again
        made.unlink()
    if isinstance(entry, PackagedModel):
        (part / "config.json").unlink(missing_ok=True)  # of a converted model: it would be taken for one
        (part / "model.safetensors").unlink(missing_ok=True)
    there = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
    if (free := shutil.disk_usage(part).free) < entry.room - there:
        raise ModelError(
            f"{part.parent} has {free / 1e9:.1f} GB free, "
            f"fetching needs {(entry.room - there) / 1e9:.1f}: make room"
        )


def _whole(directory: Path) -> bool:
    try:
        check_model(directory)
    except ModelError:
        return False
    return True


def _said(directory: Path) -> Path:
    print(f"{directory} is there and whole", flush=True)
    return directory
