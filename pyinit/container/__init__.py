"""Making a container."""
