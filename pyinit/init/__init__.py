"""Being PID 1."""
