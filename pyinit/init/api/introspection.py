"""org.varlink.service: what this server says about itself."""

from __future__ import annotations

import msgspec

import pyinit
from pyinit.init.server import Method, Request
from pyinit.varlink.service import NAME, Nothing, Service, Wanted, definition

CONTROL = "io.pyinit.Control"

# The definitions are files beside the codec: read while they can be.
_SERVICE = Service(pyinit.__version__, {CONTROL: definition(CONTROL)})


class ServiceMethods:
    """GetInfo and GetInterfaceDescription."""

    def methods(self) -> dict[str, Method]:
        return {
            f"{NAME}.GetInfo": Method(Nothing, self._answer("GetInfo")),
            f"{NAME}.GetInterfaceDescription": Method(
                Wanted, self._answer("GetInterfaceDescription")
            ),
        }

    @staticmethod
    def _answer(name: str):  # type: ignore[no-untyped-def]
        async def answer(request: Request, call: msgspec.Struct) -> None:
            raw = msgspec.Raw(msgspec.json.encode(call))
            await request.reply(_SERVICE.answer(f"{NAME}.{name}", raw))

        return answer
