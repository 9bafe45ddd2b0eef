"""Varlink without I/O: framing, envelopes and the rules of a connection, for both sides.

https://varlink.org: messages are JSON objects, each ended by a NUL byte, on a stream socket.

`framing`, `depth`, `envelope`, `connection`, `lean_json` and `scm` are what the exec client
loads into an interpreter that holds nothing beyond C builtins: they import no typing, re,
json, enum, dataclasses, collections, struct or msgspec (a test compares `sys.modules`).
`typed`, `service` and the `idl*` modules are built on msgspec, for PID 1, for the trio
client and for the tests.
"""
