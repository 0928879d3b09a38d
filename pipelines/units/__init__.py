"""What starts a night by itself: files for systemd, cron, Kubernetes and Docker, written for one workspace."""
