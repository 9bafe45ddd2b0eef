"""How ready the kernel is to end a process when memory runs out: proc_pid_oom_score_adj(5)."""

from __future__ import annotations

from pathlib import Path

from pyinit.errors import SystemFault, Unsupported

# By the host's own /proc, before any other root is entered.
_FILE = Path("/proc/self/oom_score_adj")


def set_oom_score_adj(value: int) -> None:
    """Give this process, and all it will start, the score `value` (-1000 to 1000).

    What the maker of the container has would be inherited otherwise. An ordinary user's
    session may have more than 0 and no power to go below: 0, the default, is then left out.
    Raises Unsupported for another value that can't be had.
    """
    try:
        if int(_FILE.read_text()) != value:
            _FILE.write_text(str(value))
    except PermissionError:
        if value == 0:
            return
        raise Unsupported(
            f"oom-score-adj {value} is below the maker's own, which takes CAP_SYS_RESOURCE:"
            " give a higher one, or be root"
        ) from None
    except OSError as error:
        raise SystemFault(f"set oom_score_adj to {value}", error) from None
