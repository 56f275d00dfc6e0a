"""What the bot counts and times, for Prometheus at /metrics. No text, names or tokens of anybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

REQUESTS = Counter("bot_requests", "Requests finished, by surface and outcome.", ["surface", "outcome"])
RUNNING = Gauge("bot_requests_running", "Requests being answered.", ["surface"])
TOTAL = Histogram("bot_request_seconds", "From a request to its last byte.", ["surface"], buckets=_SECONDS)
FIRST = Histogram(
    "bot_first_token_seconds", "From a request to its first text.", ["surface"], buckets=_SECONDS
)
TOKENS = Counter("bot_tokens", "Tokens read (prompt) and written (completion).", ["surface", "kind"])
SPEED = Histogram(
    "bot_tokens_per_second",
    "Tokens written a second, from an answer's first text to its last.",
    buckets=(1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200),
)
RETRIES = Counter(
    "bot_slack_retries", "Calls to Slack made again, by method and reason.", ["method", "reason"]
)
WAITING = Gauge("bot_queue_waiting", "Accepted requests that wait.", ["surface"])
CONNECTED = Gauge("bot_part_ready", "Whether a part of the bot is ready (1) or not (0).", ["part"])
ENGINE = Gauge("bot_engine_info", "The model that answers.", ["model"])


class Watched:
    """One request on its way: the moment of its first text, its tokens and how it ended."""

    def __init__(self, surface: str) -> None:
        self.surface, self.outcome = surface, "answered"
        self._start = time.perf_counter()
        self._spoke = False

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.perf_counter() - self._start

    def spoke(self) -> None:
        """Note the first piece of text; later calls change nothing."""
        if not self._spoke:
            self._spoke = True
            FIRST.labels(self.surface).observe(self.seconds)

    def tokens(self, prompt: int = 0, completion: int = 0) -> None:
        """Count what was read and written."""
        TOKENS.labels(self.surface, "prompt").inc(prompt)
        TOKENS.labels(self.surface, "completion").inc(completion)


@contextmanager
def watch(surface: str) -> Iterator[Watched]:
    """Count and time one request of a surface (`infer`, `openai`, `slack`…).

    The outcome is `answered` unless the block sets another; an exception makes it `failed`, a
    cancelled task or a closed iterator `cancelled`.
    """
    watched = Watched(surface)
    with RUNNING.labels(surface).track_inprogress():
        try:
            yield watched
        except Exception:
            watched.outcome = "failed" if watched.outcome == "answered" else watched.outcome
            raise
        except BaseException:
            watched.outcome = "cancelled"
            raise
        finally:
            REQUESTS.labels(surface, watched.outcome).inc()
            TOTAL.labels(surface).observe(watched.seconds)


def finished(surface: str, outcome: str, seconds: float | None = None) -> None:
    """Count a request that was not `watch`ed, and the seconds it took where they are known."""
    REQUESTS.labels(surface, outcome).inc()
    if seconds is not None:
        TOTAL.labels(surface).observe(seconds)


class _Totals(Collector):
    """Numbers that somebody else counts, asked for at each scrape."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, Callable[[], float]]] = {}

    def collect(self) -> Iterable[CounterMetricFamily]:
        for name, (meaning, ask) in self.asked.items():
            yield CounterMetricFamily(name, meaning, value=ask())


_TOTALS = _Totals()
REGISTRY.register(_TOTALS)


def watch_reconnects(count: Callable[[], float]) -> None:
    """Ask `count` at each scrape how often the socket to Slack was replaced."""
    _TOTALS.asked["bot_socket_reconnects"] = ("Times the socket to Slack was replaced.", count)


def watch_queue(surface: str, waiting: Callable[[], float]) -> None:
    """Ask `waiting` for the length of a surface's queue at each scrape."""
    WAITING.labels(surface).set_function(waiting)


def watch_ready(part: str, ready: Callable[[], bool]) -> None:
    """Ask `ready` at each scrape whether a part is ready."""
    CONNECTED.labels(part).set_function(lambda: float(ready()))


def exposition() -> bytes:
    """Everything, in Prometheus's text format."""
    return generate_latest(REGISTRY)
