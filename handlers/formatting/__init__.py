"""Pure functions on text: from Slack's markup to plain text, and from a model's Markdown to Slack's."""
