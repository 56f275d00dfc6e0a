"""What people do to a question while it is unfinished: they edit it, or delete it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from bot.inbox.job import Job
from bot.inbox.payloads import Payload, encode
from bot.inbox.recorder import Recorder
from bot.storage import Storage


class Changes:
    """Changes the unfinished `jobs` of an inbox, and interrupts those of which the key is in `running`."""

    def __init__(
        self, jobs: Mapping[str, Job[Any]], running: AbstractSet[str], storage: Storage, recorder: Recorder
    ) -> None:
        self._jobs, self._running, self._storage, self._recorder = jobs, running, storage, recorder

    def about(self, key: str) -> list[Job[Any]]:
        """The unfinished jobs of one message: its request `key`, and those that ask it again."""
        return [job for each, job in self._jobs.items() if each == key or each.startswith(f"{key}:")]

    async def revise(self, job: Job[Any], kind: str, payload: Payload, *, anew: bool) -> None:
        """Answer an unfinished job as its message reads now, in its own place.

        anew: also where its answer is being written; otherwise that one goes on, unless the process ends.
        Raises StorageError; what is not stored is known to this process alone.
        """
        job.request, job.payload = replace(job.request, kind=kind, payload=encode(payload)), payload
        if anew:
            self._interrupt(job)
        await self._storage.revise(job.request)

    async def withdraw(self, job: Job[Any]) -> None:
        """Answer an unfinished job no more: its message was deleted."""
        job.withdrawn = True
        self._interrupt(job)
        await self._recorder.record(job.key, "withdrawn")

    def _interrupt(self, job: Job[Any]) -> None:
        if job.key in self._running:
            job.outdated = True
            job.stop.set()
