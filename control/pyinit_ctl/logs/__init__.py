"""Logs of containers: read from their files or through the control socket, and shown."""
