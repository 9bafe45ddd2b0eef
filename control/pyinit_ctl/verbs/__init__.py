"""The verbs of `pyinit-ctl`, one module each, loaded when used."""
