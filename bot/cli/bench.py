"""`bench`: what this machine does with a model, in the figures that people feel."""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bot.engine import Sampling
from bot.engine.factory import open_local
from bot.engine.kernels.decoder import CompiledDecoder
from bot.engine.local import LocalEngine
from bot.engine.scheduling.requests import Stream
from bot.engine.text.sampling import GenerationDefaults, Sampler
from bot.models import check_model, find_model
from bot.roles import Role, load_roles
from config.settings import Settings

PROMPT, ANSWER, STREAMS, TEXTS = 400, 64, 4, 32
GREEDY = Sampling(temperature=0, repetition_penalty=1.0)
GIGABYTE = 1e9


@dataclass(frozen=True)
class Figures:
    """One machine, one model. Rates in tokens a second, times in milliseconds, memory in GB.

    bandwidth: GB a second that this process reads from memory at best. share: of it, what decoding
        one answer reaches with the weights that it reads for each token.
    """

    model: str
    precision: str
    threads: int
    load_seconds: float
    prefill: float
    decode_one: float
    decode_four: float
    first_turn: float
    eighth_turn: float
    emotion_p50: float
    emotion_p95: float
    emotion_busy_p95: float
    emotions_one_by_one: float
    emotions_batched: float
    memory_peak: float
    bandwidth: float
    share: float


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Measure the model that a start would use."""
    directory = find_model(settings)
    check_model(directory)
    bench(settings, directory, load_roles()["emotion"], as_json=options.json)


def bench(settings: Settings, directory: Path, role: Role, *, as_json: bool) -> None:
    """Measure and print. Raises EngineError for a directory that cannot be used."""
    if not as_json:
        print("measuring, about a minute ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    engine = open_local(
        directory, precision=settings.precision, threads=settings.threads, kernels=settings.kernels
    )
    figures = asyncio.run(measure(engine, role, time.perf_counter() - start))
    print(json.dumps(asdict(figures), indent=2) if as_json else table(figures))


async def measure(engine: LocalEngine, role: Role, load_seconds: float) -> Figures:
    """All figures of an open engine, which is closed."""

    def prompts(length: int, count: int = 1) -> list[list[int]]:
        return [made_up(engine, length) for _ in range(count)]

    generate_tokens(engine, prompts(8), 4)  # everything has run once
    one = [generate_tokens(engine, prompts(40), ANSWER)[0] for _ in range(3)]
    four = [generate_tokens(engine, prompts(40, STREAMS), ANSWER) for _ in range(2)]
    read = [generate_tokens(engine, prompts(PROMPT), 1)[0] for _ in range(3)]
    emotion = Emotion(engine, role)
    await emotion.one("今天")
    idle = sorted([await emotion.one(text) for text in emotion.texts(40)])
    batched = [await emotion.many(emotion.texts(TEXTS)) for _ in range(2)]
    busy = sorted(await emotion.while_decoding())
    turns = conversation(engine, 8)
    memory = peak_memory()  # before the bandwidth's measurement takes its own
    bandwidth = read_bandwidth(engine.decoder.threads)
    rate = statistics.median(each.pace for each in one)
    figures = Figures(
        model=engine.name,
        precision=engine.decoder.precision,
        threads=engine.decoder.threads,
        load_seconds=load_seconds,
        prefill=PROMPT / statistics.median(each.times[0] for each in read),
        decode_one=rate,
        decode_four=statistics.median(together(each) for each in four),
        first_turn=turns[0] * 1000,
        eighth_turn=turns[-1] * 1000,
        emotion_p50=percentile(idle, 0.5) * 1000,
        emotion_p95=percentile(idle, 0.95) * 1000,
        emotion_busy_p95=percentile(busy, 0.95) * 1000,
        emotions_one_by_one=len(idle) / sum(idle),
        emotions_batched=TEXTS / statistics.median(batched),
        memory_peak=memory,
        bandwidth=bandwidth,
        share=rate * weight_bytes(engine) / GIGABYTE / bandwidth,
    )
    await engine.close()
    return figures


@dataclass
class Answer:
    """One answer: its tokens, and when each came, in seconds after it was asked for."""

    tokens: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def pace(self) -> float:
        """Tokens a second after the first."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def generate_tokens(
    engine: LocalEngine,
    prompts: Sequence[Sequence[int]],
    length: int,
    session: str | None = None,
    shared: int = 0,
) -> list[Answer]:
    """Answers of exactly `length` tokens, generated at the same time. Raises what the engine raises."""
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    answers = [submit(engine, ids, length, ended.put, session, shared)[0] for ids in prompts]
    for problem in [ended.get() for _ in prompts]:
        if problem is not None:
            raise problem
    return answers


def submit(
    engine: LocalEngine,
    ids: Sequence[int],
    length: int,
    done: Callable[[Exception | None], None],
    session: str | None = None,
    shared: int = 0,
) -> tuple[Answer, Stream]:
    """An answer of exactly `length` tokens, which grows as it is generated."""
    answer, start = Answer(), time.perf_counter()

    def on_token(token: int) -> bool:
        answer.tokens.append(token)
        answer.times.append(time.perf_counter() - start)
        return True

    sampler = Sampler(GREEDY, GenerationDefaults(), ids)
    stream = Stream(
        ids=list(ids),
        shared=shared,
        done=done,
        on_token=on_token,
        max_tokens=length,
        session=session,
        sampler=sampler,
    )
    engine.scheduler.submit(stream)
    return answer, stream


_made = iter(range(1000, sys.maxsize))


def made_up(engine: LocalEngine, length: int) -> list[int]:
    """So many token ids, which no cache knows."""
    words = engine.tokenizer.encode_text("今天的天气很好，我们一起去公园散步。The weather is fine today. ")
    own = engine.tokenizer.encode_text(f"{next(_made)} ")
    return (own + words * (length // len(words) + 1))[:length]


def together(answers: Sequence[Answer]) -> float:
    """Tokens a second of several answers, while all of them are being decoded."""
    start, end = max(each.times[0] for each in answers), min(each.times[-1] for each in answers)
    return sum(sum(start < at <= end for at in each.times) for each in answers) / (end - start)


def conversation(engine: LocalEngine, turns: int) -> list[float]:
    """Seconds to the first token of each turn of a thread, whose questions all have the same length."""
    question, ids = engine.tokenizer.encode_text("那么第二点呢？请再说得详细一些。"), made_up(engine, 60)
    generate_tokens(engine, [[*ids, 0]], 1, shared=60)  # a role's prefix is there before the thread begins
    first = []
    for _ in range(turns):
        ids = [*ids, *question]
        answer = generate_tokens(engine, [ids], 32, session="bench", shared=60)[0]
        first.append(answer.times[0])
        ids += answer.tokens
    return first


class Emotion:
    """Texts scored by a role's labels."""

    def __init__(self, engine: LocalEngine, role: Role) -> None:
        self._engine, self._role = engine, role
        self._labels = [spelling for label in role.labels for spelling in label.spellings]

    def texts(self, count: int) -> list[str]:
        """Short comments, each a little different."""
        said = ("今天的实验终于成功了，太棒了！", "快递又丢了，客服还挂我电话", "这家店的面不错，就是有点贵")
        return [f"{said[number % 3]} {next(_made)}" for number in range(count)]

    async def one(self, text: str) -> float:
        """Seconds for one text."""
        start = time.perf_counter()
        await self._engine.score(self._role.prompt(text), self._labels, exact=False)
        return time.perf_counter() - start

    async def many(self, texts: Sequence[str]) -> float:
        """Seconds for all texts, asked at once."""
        start = time.perf_counter()
        await asyncio.gather(*(self.one(text) for text in texts))
        return time.perf_counter() - start

    async def while_decoding(self, count: int = 30) -> list[float]:
        """Seconds for each of `count` texts while STREAMS answers are being written."""
        running = [
            submit(self._engine, made_up(self._engine, 40), 2000, lambda _: None) for _ in range(STREAMS)
        ]
        await asyncio.sleep(1.0)  # all prompts are read
        found = []
        for text in self.texts(count):
            found.append(await self.one(text))
            await asyncio.sleep(0.02)
        for _, stream in running:
            self._engine.scheduler.cancel(stream)
        return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of `ordered` are not above."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def weight_bytes(engine: LocalEngine) -> int:
    """Bytes of weights that one token needs: all layers and the LM head."""
    decoder = engine.decoder
    if isinstance(decoder, CompiledDecoder):
        return decoder.weight_bytes
    config, each = decoder.config, {"fp32": 4, "bf16": 2}[decoder.precision]
    return each * (config.num_layers * config.layer_parameters + config.vocab_size * config.hidden_size)


def read_bandwidth(threads: int) -> float:
    """GB a second that so many threads read: more memory than any cache holds, the best of several.

    Of numbers that differ: a machine may read many times as fast what is the same everywhere.
    """
    parts = np.array_split(np.arange(64_000_000), threads)
    with ThreadPoolExecutor(threads) as workers:
        best = min(_seconds(lambda: list(workers.map(np.bitwise_or.reduce, parts))) for _ in range(6))
    return sum(part.nbytes for part in parts) / GIGABYTE / best


def peak_memory() -> float:
    """GB that this process had resident at most."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / GIGABYTE
    except (OSError, IndexError):  # not Linux
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / GIGABYTE


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(figures: Figures) -> str:
    """The figures as lines for people."""
    ratio = figures.eighth_turn / figures.first_turn
    lines = (
        ("model", f"{figures.model}, {figures.precision}, {figures.threads} threads"),
        ("load", f"{figures.load_seconds:.1f} s"),
        (f"read a prompt of {PROMPT} tokens", f"{figures.prefill:.0f} tokens/s"),
        ("write one answer", f"{figures.decode_one:.1f} tokens/s"),
        (f"write {STREAMS} answers", f"{figures.decode_four:.1f} tokens/s together"),
        ("first token, 1st turn", f"{figures.first_turn:.0f} ms"),
        ("first token, 8th turn", f"{figures.eighth_turn:.0f} ms, {ratio:.1f} times the 1st"),
        ("emotion, p50 and p95", f"{figures.emotion_p50:.0f} and {figures.emotion_p95:.0f} ms"),
        (f"emotion while {STREAMS} answers run, p95", f"{figures.emotion_busy_p95:.0f} ms"),
        ("emotions, one by one", f"{figures.emotions_one_by_one:.1f} texts/s"),
        (f"emotions, {TEXTS} at once", f"{figures.emotions_batched:.1f} texts/s"),
        ("memory, peak", f"{figures.memory_peak:.2f} GB"),
        ("memory bandwidth, reading", f"{figures.bandwidth:.1f} GB/s"),
        ("of it used by one answer", f"{figures.share:.0%}"),
    )
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
