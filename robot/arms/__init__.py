"""The arms there are: a spec, and an MJCF beside it."""
