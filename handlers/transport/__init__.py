"""The connection to Slack: the Web API client, the socket, the watch over it, and backfill."""
