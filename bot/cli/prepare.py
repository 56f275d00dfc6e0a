"""`prepare`: write the quantized weights beside a model, so that starting is fast."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from bot.engine.factory import prepare_prefixes
from bot.engine.quantization.prepare import prepare
from bot.models import check_model, find_model
from bot.roles import load_roles
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Prepare the directory named, or the model that a start would use."""
    directory = options.directory or find_model(settings)
    check_model(directory)
    prepare_weights(directory, settings)


def prepare_weights(directory: Path, settings: Settings) -> None:
    """Write the weights with a progress bar, print the file; then the roles' prompts. Raises EngineError."""
    with tqdm(desc="preparing", unit=" parts", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        file = prepare(directory, settings.precision, show)
    print(f"{file}: {file.stat().st_size / 1e6:,.0f} MB")
    prompts = [role.prompt("a") for role in load_roles().values()]
    prepare_prefixes(directory, prompts, settings.precision, settings.threads, settings.kernels)
