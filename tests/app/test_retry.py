"""The pauses between tries: they double, they are spread, and they end growing."""

from __future__ import annotations

from bot.app import retry


def test_a_pause_is_at_most_twice_the_one_before_and_at_least_half_of_the_most_it_can_be() -> None:
    for attempt, most in enumerate((0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)):
        found = [retry.pause(attempt) for _ in range(200)]
        assert most / 2 <= min(found)
        assert max(found) <= most
        assert len(set(found)) > 100  # those who failed together come back apart


def test_whoever_waits_chooses_the_longest_pause_and_may_try_for_ever() -> None:
    assert 30.0 <= retry.pause(10**6, longest=60.0) <= 60.0
    assert retry.pause(0, longest=0.1) <= 0.1
