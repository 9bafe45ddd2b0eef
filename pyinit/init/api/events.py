"""Events: the history, and what comes."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from pyinit.init.container import Container
from pyinit.init.events import Entry
from pyinit.init.server import Method, Request

# Events of one reply: what is far from the largest message, whatever they say.
BATCH = 32


class Event(Struct, frozen=True):
    """The IDL's Event."""

    number: int
    time: float
    kind: str
    subject: str
    details: dict[str, Any]


class EventsCall(Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, Meta(ge=0)] | None = None
    follow: bool | None = None


class EventsReply(Struct, frozen=True):
    events: list[Event]
    first: int
    last: int
    missed: int


class EventMethods:
    """Events."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def methods(self) -> dict[str, Method]:
        return {"Events": Method(EventsCall, self.events)}

    async def events(self, request: Request, call: EventsCall) -> None:
        container = self._container
        ring = container.events.ring
        position = call.after or 0
        if position > ring.last:
            # Of another container that had the name: everything here is news.
            position = 0
        if not request.more:
            await request.reply(self._read(position))
            return
        with container.last_words.owed():
            await self._go_on(request, position, follow=bool(call.follow))

    async def _go_on(self, request: Request, position: int, *, follow: bool) -> None:
        container = self._container
        ring = container.events.ring
        while True:
            ending = container.over.is_set()
            reply = self._read(position)
            position = reply.events[-1].number if reply.events else position
            whole = position == ring.last
            if whole and (ending or not follow):
                await request.reply(reply)
                return
            if reply.events:
                await request.reply(reply, continues=True)
            if whole:
                await container.events.news(position)

    def _read(self, position: int) -> EventsReply:
        ring = self._container.events.ring
        found, missed = ring.after(position, BATCH)
        events = [event_of(number, entry) for number, entry in found]
        return EventsReply(events, ring.first, ring.last, missed)


def event_of(number: int, entry: Entry) -> Event:
    """The entry as the IDL's Event."""
    moment, kind, subject, details = entry
    said = details() if callable(details) else details
    return Event(number, moment, kind, subject, dict(said))
