"""Taking turns and taking medians, and a table of the outcome."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def in_turns(
    candidates: Mapping[str, Callable[[], object]], rounds: int, apart: float = 0
) -> dict[str, list[float]]:
    """Milliseconds of each run of each candidate; every round runs each once, so that what the
    machine does meanwhile hits all alike. Before each run are `apart` seconds of rest."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            time.sleep(apart)
            begin = time.perf_counter()
            run()
            taken[name].append((time.perf_counter() - begin) * 1000)
    return taken


def table(taken: Mapping[str, list[float]], base: str) -> str:
    """Median, 95th percentile and the ratio of medians to `base`, as Markdown."""
    unit = statistics.median(taken[base])
    lines = ["| what | median ms | p95 | ratio |", "|---|--:|--:|--:|"]
    for name, values in taken.items():
        median = statistics.median(values)
        p95 = sorted(values)[int(len(values) * 0.95)]
        lines.append(f"| {name} | {median:.2f} | {p95:.2f} | {median / unit:.2f} |")
    return "\n".join(lines)
