"""What a seccomp filter answers, told by running its BPF here: bpf(4), seccomp(2).

Only what libseccomp emits: loads from struct seccomp_data, comparisons, a mask, returns.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7

_LOAD, _AND, _JUMP, _RETURN = 0x20, 0x54, 0x05, 0x06
_COMPARE: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: bool(a & k),
}


def evaluate(
    program: bytes, number: int, arguments: Sequence[int] = (), arch: int = AUDIT_ARCH_X86_64
) -> tuple[int, int]:
    """The filter's answer to a call, and after how many instructions."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, arch, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = steps = accumulator = 0
    while True:
        code, if_true, if_false, k = instructions[at]
        at, steps = at + 1, steps + 1
        if code == _LOAD:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == _AND:
            accumulator &= k
        elif code == _JUMP:
            at += k
        elif code == _RETURN:
            return k, steps
        else:
            at += if_true if _COMPARE[code](accumulator, k) else if_false
