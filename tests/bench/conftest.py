"""Fixtures of the benchmarks."""

from __future__ import annotations

from tests.support.containers import host

__all__ = ["host"]
