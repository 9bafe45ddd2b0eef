"""JSON by the C scanner and encoder of the standard library alone.

`import json` costs more than the rest of the exec client: it brings re, enum and functools.
The accelerator it is built on, `_json`, does the work and needs none of them. (On malformed
text, Python from 3.12 on makes `_json` import json for its exception: on that path only.)

Besides `dumps` and `loads` this is a codec for `connection`: `encode`, `decode_call`,
`decode_reply`.

Text: JSON carries Unicode, and neither half of a surrogate pair alone is Unicode. Bytes of
argv or of the environment that are not UTF-8 reach Python as such halves (PEP 383), so
`dumps` refuses them by name rather than sending something else than the user typed.
Integers are those of 64 bits, signed or not. Of a key given twice the last counts.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner

from pyinit.errors import ProtocolError, UsageError
from pyinit.varlink.depth import check_depth
from pyinit.varlink.envelope import Call, Reply, read_call, read_reply

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

_WHITESPACE = " \t\n\r"
_INFINITIES = (float("inf"), float("-inf"))


def dumps(value: object) -> bytes:
    """`value` as compact JSON in UTF-8.

    Raises UsageError, with the place in `value`, on text that is not Unicode; and on what
    JSON has no form for: other types, NaN, cycles.
    """
    try:
        return "".join(_encode(value, 0)).encode()
    except UnicodeEncodeError:
        place, text = next(_broken_text(value))
        raise UsageError(
            f"{place}: {text!a} is not valid UTF-8; the control protocol carries text only"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"this can't be sent as JSON: {error}") from None


def loads(data: bytes) -> Any:
    """The value of one JSON text in UTF-8. Raises ProtocolError and nothing else."""
    check_depth(data)
    try:
        text = data.decode().strip(_WHITESPACE)
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ProtocolError(f"malformed JSON at character {stop.value}") from None
    except (ValueError, SystemError, ImportError) as error:
        # Malformed text is a JSONDecodeError, which is a ValueError, where json is loaded
        # or can be; else ImportError, or in 3.11 SystemError.
        raise ProtocolError(f"malformed JSON: {_reason(error)}") from None
    if end != len(text):
        raise ProtocolError(f"malformed JSON: more text after its end at character {end}")
    if "\\ud" in text or "\\uD" in text:
        for place, _ in _broken_text(value):
            raise ProtocolError(f"malformed JSON: half a surrogate pair at {place}")
    return value


def encode(envelope: dict[str, Any]) -> bytes:
    """An envelope as JSON. Raises UsageError as `dumps` does."""
    return dumps(envelope)


def decode_call(data: bytes) -> Call:
    """A call, its parameters a dict. Raises ProtocolError."""
    return read_call(loads(data))


def decode_reply(data: bytes) -> Reply:
    """A reply, its parameters a dict. Raises ProtocolError."""
    return read_reply(loads(data))


def _reason(error: Exception) -> str:
    """The one line that a decoder's exception has to say, if it is about the text at all."""
    return str(error) if isinstance(error, ValueError) else "no value where one is due"


def _broken_text(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Each string in `value` that is not Unicode, with its place as in `a.b[3]`."""
    if isinstance(value, str):
        if not _is_unicode(value):
            yield place or "the text", value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _broken_text(key, f"the name of a member of {place or 'the message'}")
            yield from _broken_text(member, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _broken_text(item, f"{place}[{index}]")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_type(value: object) -> NoReturn:
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _integer(digits: str) -> int:
    # Length first: the time to convert grows with the square of it.
    if len(digits) > 20 or not -(1 << 63) <= (number := int(digits)) < 1 << 64:
        raise ValueError("an integer of more than 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if number in _INFINITIES:
        raise ValueError("a number out of range")
    return number


class _Rules:
    """What `make_scanner` asks its argument for: json.JSONDecoder's attributes."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None  # asked for from 3.15 on
    parse_int = staticmethod(_integer)
    parse_float = staticmethod(_float)
    parse_constant = staticmethod(_refuse_constant)


_scan = make_scanner(_Rules())  # type: ignore[arg-type]
_encode = make_encoder(None, _refuse_type, encode_basestring, None, ":", ",", False, False, False)
