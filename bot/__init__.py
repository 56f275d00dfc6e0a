"""All-in-One Bot: one small language model on a CPU serves a Slack team in several roles."""

__version__ = "0.1.0"
