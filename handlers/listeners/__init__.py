"""What Slack tells the bot, one file a surface; each has `register`. Beside them what they share."""
