"""Every accepted request: stored before it is acknowledged, decoded once, answered once."""

from bot.inbox.inbox import Answer, Inbox
from bot.inbox.job import InboxFull, Job

__all__ = ["Answer", "Inbox", "InboxFull", "Job"]
