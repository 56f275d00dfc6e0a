"""What the bot counts and times, for Prometheus at /metrics. No texts, names or secrets of anybody."""

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
ERRORS = Counter(
    "bot_http_errors",
    "Requests over HTTP that were refused or failed, by surface, status and the error's code.",
    ["surface", "status", "code"],
)
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


class RequestTimer:
    """One request in progress: when its first text came, its tokens and its outcome."""

    def __init__(self, surface: str) -> None:
        self.surface, self.outcome = surface, "answered"
        self._start = time.perf_counter()
        self._first_text = False

    @property
    def seconds(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self._start

    def note_text(self) -> None:
        """Note that text came; calls after the first change nothing."""
        if not self._first_text:
            self._first_text = True
            FIRST.labels(self.surface).observe(self.seconds)

    def count_tokens(self, prompt: int = 0, completion: int = 0) -> None:
        """Count tokens read and written."""
        TOKENS.labels(self.surface, "prompt").inc(prompt)
        TOKENS.labels(self.surface, "completion").inc(completion)


@contextmanager
def watch(surface: str) -> Iterator[RequestTimer]:
    """Count and time one request of a surface (`infer`, `openai`, `slack`…).

    The outcome is `answered` unless the block sets another; an exception makes it `failed`, a
    cancelled task or a closed iterator `cancelled`.
    """
    timer = RequestTimer(surface)
    with RUNNING.labels(surface).track_inprogress():
        try:
            yield timer
        except Exception:
            timer.outcome = "failed" if timer.outcome == "answered" else timer.outcome
            raise
        except BaseException:
            timer.outcome = "cancelled"
            raise
        finally:
            REQUESTS.labels(surface, timer.outcome).inc()
            TOTAL.labels(surface).observe(timer.seconds)


def finished(surface: str, outcome: str, seconds: float | None = None) -> None:
    """Count a request that was not `watch`ed, and the seconds it took where they are known."""
    REQUESTS.labels(surface, outcome).inc()
    if seconds is not None:
        TOTAL.labels(surface).observe(seconds)


class _ExternalCounters(Collector):
    """Counters that are kept elsewhere and read at each scrape."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[str, Callable[[], float]]] = {}

    def collect(self) -> Iterable[CounterMetricFamily]:
        """What Prometheus's client reads at a scrape."""
        for name, (documentation, read) in self.sources.items():
            yield CounterMetricFamily(name, documentation, value=read())


_EXTERNAL = _ExternalCounters()
REGISTRY.register(_EXTERNAL)


def watch_reconnects(count: Callable[[], float]) -> None:
    """Call `count` at each scrape for how often the socket to Slack was replaced."""
    _EXTERNAL.sources["bot_socket_reconnects"] = ("Times the socket to Slack was replaced.", count)


def watch_queue(surface: str, waiting: Callable[[], float]) -> None:
    """Call `waiting` for the length of a surface's queue at each scrape."""
    WAITING.labels(surface).set_function(waiting)


def watch_ready(part: str, ready: Callable[[], bool]) -> None:
    """Call `ready` at each scrape for whether a part is ready."""
    CONNECTED.labels(part).set_function(lambda: float(ready()))


def exposition() -> bytes:
    """Everything, in Prometheus's text format."""
    return generate_latest(REGISTRY)
