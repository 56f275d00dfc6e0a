"""How long anything waits before it tries again: one policy, exponential backoff with jitter."""

from __future__ import annotations

import random

FIRST = 0.5  # seconds, at most, before the first try again
LONGEST = 30.0  # seconds
_DOUBLINGS = 16  # a power beyond this is longer than any pause


def pause(attempt: int, longest: float = LONGEST) -> float:
    """Seconds to wait before try number `attempt` (from 0) is made again; at most `longest`.

    The pause doubles with each attempt, and half of it is random, so that those who failed together do
    not come back together ("equal jitter", see M. Brooker, Exponential Backoff And Jitter, AWS
    Architecture Blog, 2015). On average it is three quarters of the most it can be.
    """
    most = min(longest, FIRST * 2.0 ** min(attempt, _DOUBLINGS))
    return most * random.uniform(0.5, 1.0)  # noqa: S311  spreads calls, guards nothing
