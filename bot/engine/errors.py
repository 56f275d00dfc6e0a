"""How the engine fails: what callers catch, and what went wrong in words for an administrator."""

from __future__ import annotations

import errno

_TORCH_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory")


class EngineError(RuntimeError):
    """The engine could not answer; the message may be shown to an administrator."""


class EngineBusy(EngineError):
    """The queue is full. `retry_after` is a guess in seconds at when it will not be."""

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("the queue is full; try again shortly")
        self.retry_after = retry_after


class PromptTooLong(EngineError):
    """The prompt does not fit the model's context window; nothing was computed."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the text is too long: {tokens} tokens, and {limit} fit; please shorten it")
        self.tokens, self.limit = tokens, limit


class NoLabel(EngineError):
    """The model was asked for a label and answered something else, which `answer` is the beginning of."""

    def __init__(self, answer: str) -> None:
        self.answer = " ".join(answer.split())[:100]
        said = f"“{self.answer}”" if self.answer else "nothing"
        super().__init__(f"the server's model answered {said} instead of a label")


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether memory ran out: as Python says it, the system, or torch, which has no type for it on a CPU."""
    text = str(problem).lower()
    return (
        isinstance(problem, MemoryError)
        or (isinstance(problem, OSError) and problem.errno == errno.ENOMEM)
        or (isinstance(problem, RuntimeError) and any(each in text for each in _TORCH_OUT_OF_MEMORY))
    )


def as_engine_error(problem: BaseException) -> EngineError:
    """The error that a request fails with when `problem` ended its pass."""
    if isinstance(problem, EngineError):
        return problem
    if is_out_of_memory(problem):
        error = EngineError("memory ran out; lower CONTEXT_TOKENS or CACHE_MB, or choose PRECISION=int4")
    else:
        error = EngineError(f"the model failed: {type(problem).__name__}: {problem}")
    error.__cause__ = problem
    return error


def not_finite() -> EngineError:
    """For NaN or infinity in hidden states or logits."""
    return EngineError(
        "the model computed NaN or infinity; again and again means damaged weights: fetch them anew"
    )
