"""pyinit as the entrypoint of a container that something else made.

What runs before the command is started imports as little as can be: no enum, no re, no
argparse, nothing that would make the command wait.
"""
