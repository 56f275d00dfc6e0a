"""`manifest`: print the Slack app manifest, or the link that creates the app from it."""

from __future__ import annotations

import argparse
import json
from urllib.parse import quote

from config.settings import SLACK_MANIFEST, Settings


def run(options: argparse.Namespace, _: Settings) -> None:
    """Print the manifest or the link."""
    print(create_app_url() if options.url else manifest_json())


def manifest_json() -> str:
    """The manifest as it is pasted into Slack's "create from a manifest"."""
    return SLACK_MANIFEST.read_text(encoding="utf-8").strip()


def create_app_url() -> str:
    """Slack's page for a new app, with the manifest filled in."""
    compact = json.dumps(json.loads(manifest_json()), ensure_ascii=False, separators=(",", ":"))
    return f"https://api.slack.com/apps?new_app=1&manifest_json={quote(compact, safe='')}"
