"""The measured figures as a page and a chart in `docs`, named by the kernels that this processor has."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median

import torch

from bot.engine.kernels.bindings import choose_kernels

Rounds = dict[str, list[float]]
Figure = Callable[[Rounds], tuple[float, str]]
KERNELS = choose_kernels().name.decode()
# Without an instruction that multiplies and adds at once a decode is to be as far before llama.cpp as the
# engine before this one was.
AT_ONCE = KERNELS not in ("avx2", "plain")
TITLES = {"starter": "Starter (Qwen2.5-Coder-0.5B)", "mission": "Qwen1.5-0.5B shape, random weights"}
PEERS = (
    "this engine, int8",
    "llama.cpp, Q8_0",
    "this engine, int4",
    "llama.cpp, int4's own file",
    "CTranslate2, int8",
    "transformers, bfloat16",
    "transformers, float32",
)
COLOURS = {
    "this engine": "#2563eb",
    "llama.cpp": "#f59e0b",
    "CTranslate2": "#10b981",
    "transformers": "#9ca3af",
}


@dataclass(frozen=True)
class Target:
    """One row of the targets: `figure` gives the measured value and how it is written."""

    what: str
    wanted: str
    figure: Figure
    reached: Callable[[float], bool]


def write_report(found: dict[str, Rounds], folder: Path) -> None:
    """Write both files, with what was measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [name for name in TITLES if found.get(name)]
    lines = [
        f"# How fast it is with {KERNELS}",
        "",
        f"Measured with `python benchmarks/engine.py` on {_machine()}: every round does the same work "
        "with each engine in turn, and a figure is the median over all rounds. llama.cpp has the same "
        "weights, in Q8_0 by its own quantizer and in four bits in the file that int4 is, CTranslate2 has "
        "them in int8 by its own; transformers is stock `generate`.",
        "",
        "What falls short and why, and what each precision costs: [engine.md](engine.md).",
        "",
        f"![Tokens a second](engine-{KERNELS}.svg)",
        "",
    ]
    for name in models:
        lines += [f"## {TITLES[name]}", "", *_comparison(found[name]), ""]
    if "starter" in models:
        lines += ["## Targets, on the starter", "", *_targets(found["starter"]), ""]
    if "mission" in models:
        lines += ["## Beside the mission's own figures", "", *_mission(found["mission"]), ""]
    page = folder / f"engine-{KERNELS}.md"
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    page.with_suffix(".svg").write_text(_chart({name: found[name] for name in models}), encoding="utf-8")


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


def _ratio(above: str, below: str) -> Figure:
    def figure(figures: Rounds) -> tuple[float, str]:
        a, b = median(figures[above]), median(figures[below])
        return a / b, f"{a / b:.2f} ({a:.1f} to {b:.1f})"

    return figure


def _times(above: str, below: str, pick: Callable[[Sequence[float]], float] = median) -> Figure:
    """How many times as long, of seconds. `pick` takes the value of the upper one."""

    def figure(figures: Rounds) -> tuple[float, str]:
        a, b = pick(figures[above]), median(figures[below])
        return a / b, f"{a / b:.2f} times ({a * 1000:.0f} to {b * 1000:.0f} ms)"

    return figure


def _share(name: str) -> Figure:
    def figure(figures: Rounds) -> tuple[float, str]:
        value = median(figures[name])
        return value, f"{value * 100:.0f} %"

    return figure


def _worst(*names: str, unit: str) -> Figure:
    def figure(figures: Rounds) -> tuple[float, str]:
        values = [max(figures[name]) if "peak" in name else median(figures[name]) for name in names]
        return max(values), " / ".join(f"{value:.2f}" for value in values) + f" {unit}"

    return figure


def _at_least(what: str, wanted: float, figure: Figure) -> Target:
    return Target(what, f"at least {wanted:g}", figure, lambda value: value >= wanted)


def _at_most(what: str, wanted: float, unit: str, figure: Figure) -> Target:
    return Target(what, f"at most {wanted:g} {unit}", figure, lambda value: value <= wanted)


OURS, BOT = "this engine", "whole bot"
TARGETS = (
    _at_least(
        "decode, int8 against llama.cpp Q8_0",
        1.15 if AT_ONCE else 1.4,
        _ratio(f"{OURS}, int8, decode", "llama.cpp, Q8_0, decode"),
    ),
    _at_least(
        "decode, int4 against llama.cpp on the same file",
        1.1 if AT_ONCE else 1.23,
        _ratio(f"{OURS}, int4, decode", "llama.cpp, int4's own file, decode"),
    ),
    Target(
        "decode, share of the read bandwidth, int8",
        "at least 85 %",
        _share(f"{OURS}, int8, share of bandwidth"),
        lambda x: x >= 0.85,
    ),
    Target(
        "decode, share of the read bandwidth, int4",
        "at least 75 %",
        _share(f"{OURS}, int4, share of bandwidth"),
        lambda x: x >= 0.75,
    ),
    _at_least(
        "prefill of 400 tokens, int8 against Q8_0",
        2.4 if AT_ONCE else 1.66,
        _ratio(f"{OURS}, int8, prefill", "llama.cpp, Q8_0, prefill"),
    ),
    _at_least(
        "prefill of 400 tokens, int4 against llama.cpp on the same file",
        1.8 if AT_ONCE else 1.16,
        _ratio(f"{OURS}, int4, prefill", "llama.cpp, int4's own file, prefill"),
    ),
    _at_least(
        "prefill of 400 tokens, int8 against CTranslate2 int8",
        1.0,
        _ratio(f"{OURS}, int8, prefill", "CTranslate2, int8, prefill"),
    ),
    Target(
        "prefill int8, share of the multiply-adds that the instruction set allows",
        "at least 55 %",
        _share(f"{OURS}, int8, share of multiply-adds"),
        lambda x: x >= 0.55,
    ),
    _at_least(
        "four answers together against one, int8",
        2.8,
        _ratio(f"{OURS}, int8, decode four", f"{OURS}, int8, decode"),
    ),
    _at_least(
        "`/api/infer` emotion, p50, against stock float32 `generate`",
        14,
        _times("transformers, float32, emotion", f"{BOT}, int8, emotion"),
    ),
    _at_most(
        "emotion p50 beside one busy process (nice 10), against idle",
        2.5,
        "times",
        _times(f"{BOT}, int8, emotion beside a neighbour", f"{BOT}, int8, emotion"),
    ),
    _at_most(
        "emotion p95 while four replies run, against idle p50",
        4,
        "times",
        _times(
            f"{BOT}, int8, emotion while decoding",
            f"{BOT}, int8, emotion",
            lambda values: percentile(values, 0.95),
        ),
    ),
    _at_most(
        "first token of the 8th turn against the 1st, int8",
        1.5,
        "times",
        _times(f"{OURS}, int8, eighth turn", f"{OURS}, int8, first turn"),
    ),
    _at_most(
        "start to ready, int8 / int4",
        2.5,
        "s",
        _worst(f"{BOT}, int8, start", f"{BOT}, int4, start", unit="s"),
    ),
    _at_most(
        "`python -m bot emotion TEXT`, int8 / int4",
        1.5,
        "s",
        _worst("command, int8, emotion", "command, int4, emotion", unit="s"),
    ),
    _at_most("peak memory, whole bot, int8", 0.9, "GB", _worst(f"{BOT}, int8, peak", unit="GB")),
    _at_most("peak memory, whole bot, int4", 0.65, "GB", _worst(f"{BOT}, int4, peak", unit="GB")),
    _at_most(
        "preparation, peak, int8 / int4",
        1.5,
        "GB",
        _worst("prepare int8, peak", "prepare int4, peak", unit="GB"),
    ),
    _at_least(
        "emotions, 32 texts at once against one at a time, int8",
        2,
        _ratio(f"{OURS}, int8, texts together", f"{OURS}, int8, texts one by one"),
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
    return f"{os.cpu_count()} cores of {name}, kernels {KERNELS}, torch {torch.__version__.partition('+')[0]}"


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
