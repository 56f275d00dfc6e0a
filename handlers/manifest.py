"""The Slack app manifest, and the link that creates the app from it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from config.settings import ROOT

MANIFEST = ROOT / "config" / "slack" / "manifest.json"


def read_manifest() -> dict[str, Any]:
    """The manifest, parsed."""
    found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return found


def manifest_json() -> str:
    """The manifest as it is pasted into Slack's "create from a manifest"."""
    return MANIFEST.read_text(encoding="utf-8").strip()


def create_app_url() -> str:
    """Slack's page for a new app, with the manifest filled in."""
    compact = json.dumps(read_manifest(), ensure_ascii=False, separators=(",", ":"))
    return f"https://api.slack.com/apps?new_app=1&manifest_json={quote(compact, safe='')}"
