"""`python -m pyinit` and the script `pyinit`: the entrypoint of a container."""

from __future__ import annotations

from pyinit.init.entrypoint.main import main

if __name__ == "__main__":
    main()
