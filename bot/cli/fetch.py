"""`fetch`: put a model under models/, with prepared weights beside it."""

from __future__ import annotations

import argparse

from bot.cli.prepare import prepare_weights
from bot.engine.factory import is_outdated
from bot.models.fetch import fetch
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Fetch the model named, or the one that a start needs."""
    if options.name is None and (settings.model_dir or settings.llm_url):
        print("nothing to fetch: MODEL_DIR or LLM_URL is set; `fetch NAME` fetches all the same")
        return
    directory = fetch(options.name, settings.hf_endpoint or None)
    if not any(directory.glob("prepared-*.safetensors")) or is_outdated(
        directory, settings.precision, settings.kernels
    ):
        prepare_weights(directory, settings)
