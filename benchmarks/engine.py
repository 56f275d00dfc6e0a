"""Measure this engine beside transformers, llama.cpp and CTranslate2: `python benchmarks/engine.py`.

Every round does the same work with each of them, one after the other and each in a process of its
own, so that whatever else the machine does falls on all; figures are medians over the rounds. Rounds
of earlier calls with the same kernels are kept in --data and counted in. int8 and int4 are made of the
starter's numbers in float16, and llama.cpp has int4's GGUF file, too; `engine_gguf.py` measures the
starter's own bits. Needs the `bench` extra, the starter, and about 12 GB of memory and 7 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from engine_apart import Apart  # noqa: E402  the paths come first
from engine_bot import Bot, emotion_command, prepare, run  # noqa: E402  the paths come first
from engine_models import write_ctranslate, write_gguf, write_mission_shape  # noqa: E402  the paths come first
from engine_peers import CTranslate, Llama, Ours, Stock  # noqa: E402  the paths come first
from engine_report import KERNELS, write_report  # noqa: E402  the paths come first
from hub_directory import write_hub_directory  # noqa: E402  the paths come first
from tqdm import tqdm  # noqa: E402  the paths come first

from bot.engine.text.chat_template import ChatTokenizer  # noqa: E402  the paths come first
from bot.engine.weights.prepared import int4_file  # noqa: E402  the paths come first
from bot.roles import load_roles  # noqa: E402  the paths come first

PROMPT, ANSWER, STOCK_ANSWER = 400, 48, 12
Rounds = dict[str, list[float]]


def measure(directory: Path, folder: Path, rounds: int, note: Callable[[str, float], None]) -> None:
    """All rounds over one model; every figure is told to `note` by name."""
    roles = load_roles()
    for last in (False, False, True):  # before the others, which would share the machine with a start
        bots = [Bot(directory, precision) for precision in ("int8", "int4")]
        for bot in bots:
            note(f"{bot.name}, start", bot.start_seconds)
            if not last:
                bot.stop()
    for _ in range(3):
        for precision in ("int8", "int4"):
            note(f"command, {precision}, emotion", emotion_command(directory, precision))
    ours = [Apart(Ours, directory, precision, roles["emotion"]) for precision in ("int8", "int4")]
    stock = [Apart(Stock, directory, dtype) for dtype in ("float32", "bfloat16")]
    made = {"Q8_0": write_gguf(directory, folder, "Q8_0"), "int4's own file": int4_file(directory)}
    llama = [Apart(Llama, file, kind) for kind, file in made.items()]
    ctranslate = [Apart(CTranslate, write_ctranslate(directory, folder, "int8"), "int8")]
    others = (*llama, *ctranslate)
    for bot in bots:
        bot.emotion()
    numbers = iter(range(10**6))
    text = "今天的天气很好，我们一起去公园散步。The weather is fine today. "
    words = ChatTokenizer(directory).encode_text(text)

    def prompt(length: int) -> list[int]:
        return [next(numbers) % 1000 + 1000, *(words * (length // len(words) + 1))][:length]

    for peer in (*ours, *stock, *others):  # everything has run once, in the sizes that are measured
        peer.prefill(prompt(PROMPT))
        peer.decode(prompt(40), 3)
    for _ in tqdm(range(rounds), unit=" rounds"):
        for text in ("今天的实验终于成功了，太棒了！", "快递又丢了，客服还挂我电话"):
            note(f"{stock[0].name}, emotion", stock[0].emotion(roles["emotion"], text))
            for _ in range(6):
                for bot in bots:
                    note(f"{bot.name}, emotion", bot.emotion())
        for peer in (*ours, *others):
            for _ in range(2):
                note(f"{peer.name}, decode", peer.decode(prompt(40), ANSWER))
                note(f"{peer.name}, prefill", PROMPT / peer.prefill(prompt(PROMPT)))
        for peer in stock:
            note(f"{peer.name}, decode", peer.decode(prompt(40), STOCK_ANSWER))
            note(f"{peer.name}, prefill", PROMPT / peer.prefill(prompt(PROMPT)))
        for each in ours:
            for _ in range(3):
                note(f"{each.name}, share of bandwidth", each.share_of_bandwidth(prompt(40), ANSWER))
                if each is ours[0] and (share := each.share_of_multiply_adds(prompt(PROMPT))) is not None:
                    note(f"{each.name}, share of multiply-adds", share)
            note(f"{each.name}, decode four", each.decode_four([prompt(40) for _ in range(4)], ANSWER))
            turns = each.turns()
            note(f"{each.name}, first turn", turns[0])
            note(f"{each.name}, eighth turn", turns[-1])
            note(f"{each.name}, texts one by one", each.texts(16, together=False))
            note(f"{each.name}, texts together", each.texts(32, together=True))
    for bot in bots:
        for seconds in bot.emotions_while_decoding(24):
            note(f"{bot.name}, emotion while decoding", seconds)
        for seconds in bot.emotions_beside_a_neighbour(24):
            note(f"{bot.name}, emotion beside a neighbour", seconds)
        seconds, _ = bot.chat("用一句话介绍你自己。")
        note(f"{bot.name}, chat", seconds)
        note(f"{bot.name}, peak", bot.peak)
        bot.stop()
    for peer in (*ours, *stock, *others):
        peer.stop()


def main() -> int:
    """Measure, then write the table and the chart from all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each model; 0 only writes the report")
    parser.add_argument("--model", choices=("starter", "mission", "both"), default="both")
    parser.add_argument("--prepare", action="store_true", help="write the quantized weights anew and time it")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "data" / f"benchmark-{KERNELS}.json", help="all rounds"
    )
    parser.add_argument(
        "--models", type=Path, default=ROOT / "data" / "benchmark", help="what is made for it"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "docs", help="where the page and the chart go")
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    found: dict[str, Rounds] = json.loads(options.data.read_text("utf-8")) if options.data.is_file() else {}
    starter = options.models / "starter"
    # Apart, for a command's peak memory begins with that of whoever starts it.
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        apart.submit(write_hub_directory, ROOT / "models" / "starter", starter).result()
    for name in ("starter", "mission") if options.model == "both" else (options.model,):
        directory = starter if name == "starter" else write_mission_shape(options.models / "mission", starter)
        figures = found.setdefault(name, {})

        def note(what: str, value: float, figures: Rounds = figures) -> None:
            figures.setdefault(what, []).append(value)

        if options.prepare:
            for precision in ("int8", "int4"):
                seconds, peak = prepare(directory, precision)
                note(f"prepare {precision}, seconds", seconds)
                note(f"prepare {precision}, peak", peak)
        if options.rounds:
            for precision in ("int8", "int4"):  # as `fetch` does at its end
                run([sys.executable, "-m", "bot", "prepare", str(directory), "--precision", precision])
            measure(directory, options.models, options.rounds, note)
        options.data.write_text(json.dumps(found, indent=1), encoding="utf-8")
    write_report(found, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
