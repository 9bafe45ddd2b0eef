from __future__ import annotations

from pyinit.spec.difference import FieldChange, difference
from pyinit.spec.service import Backoff, Check, ServiceSpec


def test_what_comes_goes_changes_and_stays() -> None:
    old = {
        "gone": ServiceSpec(command=("x",)),
        "same": ServiceSpec(command=("x",), env={"A": "1"}),
        "moved": ServiceSpec(command=("x",), env={"A": "1", "B": "1"}),
        "tuned": ServiceSpec(command=("x",)),
    }
    new = {
        "tuned": ServiceSpec(
            command=("x",), backoff=Backoff(initial=1.0), checks={"a": Check(tcp="1")}
        ),
        "moved": ServiceSpec(command=("x",), env={"A": "2", "C": "1"}),
        "same": ServiceSpec(command=("x",), env={"A": "1"}),
        "new": ServiceSpec(command=("x",)),
    }
    found = difference(old, new)
    assert (found.added, found.removed, found.unchanged) == (("new",), ("gone",), ("same",))
    tuned, moved = found.changed
    assert (tuned.name, tuned.restart) == ("tuned", False)
    assert {change.field for change in tuned.fields} == {"backoff", "checks"}
    assert (moved.name, moved.restart) == ("moved", True)
    assert set(moved.fields) == {
        FieldChange("env.A", "1", "2"),
        FieldChange("env.B", "1", None),
        FieldChange("env.C", None, "1"),
    }
    assert found


def test_no_difference_is_false() -> None:
    services = {"a": ServiceSpec(command=("x",))}
    assert not difference(services, dict(services))
