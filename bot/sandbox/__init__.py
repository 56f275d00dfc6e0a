"""A Slack workspace on localhost: the real Bolt app connects to it, people use it in a browser."""

from bot.sandbox.errors import SlackError
from bot.sandbox.faults import Fault, Faults
from bot.sandbox.manifest import App
from bot.sandbox.server import Sandbox

__all__ = ["App", "Fault", "Faults", "Sandbox", "SlackError"]
