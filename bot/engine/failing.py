"""What went wrong in the model, in words for an administrator."""

from __future__ import annotations

from bot.engine.interface import EngineError


def out_of_memory(problem: BaseException) -> bool:
    """Whether memory ran out: Python's own, or torch's, which has no type of its own on a CPU."""
    text = str(problem).lower()
    return isinstance(problem, MemoryError) or (
        isinstance(problem, RuntimeError) and ("not enough memory" in text or "can't allocate memory" in text)
    )


def explained(problem: BaseException) -> EngineError:
    """The error that a request is refused with."""
    if isinstance(problem, EngineError):
        return problem
    if out_of_memory(problem):
        error = EngineError("memory ran out; lower CONTEXT_TOKENS or CACHE_MB, or choose PRECISION=int4")
    else:
        error = EngineError(f"the model failed: {type(problem).__name__}: {problem}")
    error.__cause__ = problem
    return error


def no_numbers() -> EngineError:
    """For NaN or infinity where numbers should be."""
    return EngineError(
        "the model's arithmetic gave no numbers; again and again means damaged weights: fetch them anew"
    )
