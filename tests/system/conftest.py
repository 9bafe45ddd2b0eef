"""Fixtures of the tests that make real containers."""

from __future__ import annotations

from tests.support.containers import host

__all__ = ["host"]
