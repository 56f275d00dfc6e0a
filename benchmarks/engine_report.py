"""The measured figures as `docs/engine.md` and `docs/engine.svg`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median

import torch

Rounds = dict[str, list[float]]
TITLES = {"starter": "Starter (Qwen2.5-Coder-0.5B)", "mission": "Qwen1.5-0.5B shape, random weights"}
PEERS = (
    "this engine, int8",
    "llama.cpp, Q8_0",
    "this engine, int4",
    "llama.cpp, Q4_0",
    "transformers, bfloat16",
    "transformers, float32",
)
COLOURS = {"this engine": "#2563eb", "llama.cpp": "#f59e0b", "transformers": "#9ca3af"}


@dataclass(frozen=True)
class Target:
    """One row of the targets: `figure` gives the measured value and how it is written."""

    what: str
    wanted: str
    figure: Callable[[Rounds], tuple[float, str]]
    reached: Callable[[float], bool]


def write_report(found: dict[str, Rounds], folder: Path) -> None:
    """Write both files, with what was measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [name for name in TITLES if found.get(name)]
    lines = [
        "# How fast it is",
        "",
        f"Measured with `python benchmarks/engine.py` on {_machine()}: every round does the same work "
        "with each engine in turn, and a figure is the median over all rounds. llama.cpp has the same "
        "weights, quantized by its own quantizer; transformers is stock `generate`.",
        "",
        "What falls short and why, and what each precision costs: [engine-notes.md](engine-notes.md).",
        "",
        "![Tokens a second](engine.svg)",
        "",
    ]
    for name in models:
        lines += [f"## {TITLES[name]}", "", *_comparison(found[name]), ""]
    if "starter" in models:
        lines += ["## Targets, on the starter", "", *_targets(found["starter"]), ""]
    if "mission" in models:
        lines += ["## Beside the mission's own figures", "", *_mission(found["mission"]), ""]
    (folder / "engine.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    (folder / "engine.svg").write_text(_chart({name: found[name] for name in models}), encoding="utf-8")


def _comparison(figures: Rounds) -> list[str]:
    rows = [
        "| engine and weights | decode, tokens/s | prefill of 400 tokens, tokens/s |",
        "| --- | ---: | ---: |",
    ]
    for peer in PEERS:
        if f"{peer}, decode" in figures:
            decode, prefill = median(figures[f"{peer}, decode"]), median(figures[f"{peer}, prefill"])
            rows.append(f"| {peer} | {decode:.1f} | {prefill:.0f} |")
    return rows


def _targets(figures: Rounds) -> list[str]:
    rows = ["| figure | target | measured | |", "| --- | --- | --- | --- |"]
    for target in TARGETS:
        try:
            value, text = target.figure(figures)
        except KeyError:
            rows.append(f"| {target.what} | {target.wanted} | not measured | |")
            continue
        rows.append(
            f"| {target.what} | {target.wanted} | {text} | {'yes' if target.reached(value) else 'no'} |"
        )
    return rows


def _ratio(above: str, below: str) -> Callable[[Rounds], tuple[float, str]]:
    def figure(figures: Rounds) -> tuple[float, str]:
        a, b = median(figures[above]), median(figures[below])
        return a / b, f"{a / b:.2f} ({a:.1f} to {b:.1f})"

    return figure


def _emotion(figures: Rounds) -> tuple[float, str]:
    stock, bot = (
        median(figures["transformers, float32, emotion"]),
        median(figures["whole bot, int8, emotion"]),
    )
    return stock / bot, f"{stock / bot:.1f} times ({stock * 1000:.0f} to {bot * 1000:.0f} ms)"


def _busy(figures: Rounds) -> tuple[float, str]:
    idle = median(figures["whole bot, int8, emotion"])
    late = percentile(figures["whole bot, int8, emotion while decoding"], 0.95)
    return late / idle, f"{late / idle:.1f} times ({late * 1000:.0f} to {idle * 1000:.0f} ms)"


def _turns(figures: Rounds) -> tuple[float, str]:
    first, last = (median(figures[f"this engine, int8, {turn} turn"]) for turn in ("first", "eighth"))
    return last / first, f"{last / first:.2f} times ({last * 1000:.0f} to {first * 1000:.0f} ms)"


def _worst(*names: str, unit: str) -> Callable[[Rounds], tuple[float, str]]:
    def figure(figures: Rounds) -> tuple[float, str]:
        values = [max(figures[name]) if "peak" in name else median(figures[name]) for name in names]
        return max(values), " / ".join(f"{value:.2f}" for value in values) + f" {unit}"

    return figure


TARGETS = (
    Target(
        "`/api/infer` emotion, p50, against stock float32 `generate`",
        "at least 10 times faster",
        _emotion,
        lambda x: x >= 10,
    ),
    Target(
        "decode, int8 against llama.cpp Q8_0",
        "at least 1.0",
        _ratio("this engine, int8, decode", "llama.cpp, Q8_0, decode"),
        lambda x: x >= 1,
    ),
    Target(
        "decode, int4 against llama.cpp Q4_0",
        "at least 1.0",
        _ratio("this engine, int4, decode", "llama.cpp, Q4_0, decode"),
        lambda x: x >= 1,
    ),
    Target(
        "prefill of 400 tokens, int8 against Q8_0",
        "at least 1.2",
        _ratio("this engine, int8, prefill", "llama.cpp, Q8_0, prefill"),
        lambda x: x >= 1.2,
    ),
    Target(
        "prefill of 400 tokens, int4 against Q4_0",
        "at least 1.2",
        _ratio("this engine, int4, prefill", "llama.cpp, Q4_0, prefill"),
        lambda x: x >= 1.2,
    ),
    Target(
        "four answers together against one, int8",
        "at least 2.5",
        _ratio("this engine, int8, decode four", "this engine, int8, decode"),
        lambda x: x >= 2.5,
    ),
    Target(
        "emotion p95 while four replies run, against idle p50", "at most 4 times", _busy, lambda x: x <= 4
    ),
    Target(
        "first token of the 8th turn against the 1st, int8",
        "at most 1.5 times",
        _turns,
        lambda x: x <= 1.5,
    ),
    Target(
        "start to ready, int8 / int4",
        "at most 3 s",
        _worst("whole bot, int8, start", "whole bot, int4, start", unit="s"),
        lambda x: x <= 3,
    ),
    Target(
        "peak memory, whole bot, int8",
        "at most 1.05 GB",
        _worst("whole bot, int8, peak", unit="GB"),
        lambda x: x <= 1.05,
    ),
    Target(
        "peak memory, whole bot, int4",
        "at most 0.8 GB",
        _worst("whole bot, int4, peak", unit="GB"),
        lambda x: x <= 0.8,
    ),
    Target(
        "preparation, peak, int8 / int4",
        "at most 1.5 GB",
        _worst("prepare int8, peak", "prepare int4, peak", unit="GB"),
        lambda x: x <= 1.5,
    ),
    Target(
        "emotions, 32 texts at once against one at a time, int8",
        "at least 2 times",
        _ratio("this engine, int8, texts together", "this engine, int8, texts one by one"),
        lambda x: x >= 2,
    ),
)


def _mission(figures: Rounds) -> list[str]:
    rows = ["| figure | the mission's claim | int8 here | int4 here |", "| --- | ---: | ---: | ---: |"]
    for what, claim, name, pick, unit in (
        ("start", "7.2 s", "start", median, "s"),
        ("emotion", "1.28 s", "emotion", median, "s"),
        ("chat reply", "1.34 s", "chat", median, "s"),
        ("memory, peak", "1.8 GB", "peak", max, "GB"),
    ):
        values = [figures.get(f"whole bot, {precision}, {name}") for precision in ("int8", "int4")]
        shown = [f"{pick(each):.2f} {unit}" if each else "not measured" for each in values]
        rows.append(f"| {what} | {claim} | {shown[0]} | {shown[1]} |")
    return [
        *rows,
        "",
        "The claims are of the mission's source, measured elsewhere. The weights here are random, so a "
        "reply has no end of its own: its time is for the chat role's most tokens.",
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{os.cpu_count()} cores of {name}, torch {torch.__version__.partition('+')[0]}"


def _chart(found: dict[str, Rounds]) -> str:
    """Horizontal bars: tokens a second written, each model a panel."""
    left, bar, gap, width, panel_gap = 190, 22, 6, 760, 46
    parts, y = [], 16
    for name, figures in found.items():
        rows = [(peer, median(figures[f"{peer}, decode"])) for peer in PEERS if f"{peer}, decode" in figures]
        if not rows:
            continue
        longest = max(value for _, value in rows)
        y += 10
        parts.append(f'<text x="8" y="{y}" class="title">{escape(TITLES[name])}: tokens/s written</text>')
        y += 12
        for peer, value in rows:
            size = (width - left - 70) * value / longest
            colour = COLOURS[peer.partition(",")[0]]
            parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(peer)}</text>')
            parts.append(
                f'<rect x="{left}" y="{y}" width="{size:.1f}" height="{bar}" rx="3" fill="{colour}"/>'
            )
            parts.append(f'<text x="{left + size + 6:.1f}" y="{y + 16}">{value:.1f}</text>')
            y += bar + gap
        y += panel_gap - 20
    style = (
        "text{font:13px system-ui,sans-serif;fill:#374151}.title{font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
        f'role="img" aria-label="Tokens a second written by each engine"><style>{style}</style>'
        f"{''.join(parts)}</svg>\n"
    )
