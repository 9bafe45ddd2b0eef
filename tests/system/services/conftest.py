"""Fixtures of the tests that supervise real services."""

from __future__ import annotations

from tests.support.supervised import stage

__all__ = ["stage"]
