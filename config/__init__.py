"""Everything an administrator may change: settings, roles, the Slack manifest, the systemd unit."""
