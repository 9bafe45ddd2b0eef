"""Telling the host how it goes, where the runtime gave a socket for it (sd_notify(3)).

systemd-nspawn --notify-ready, podman's sdnotify and units of Type=notify listen there.
"""

from __future__ import annotations


class HostNotice:
    """The socket of NOTIFY_SOCKET. Nobody there, nothing said."""

    def __init__(self, address: bytes | None) -> None:
        # A name in the abstract namespace is written with @ in place of the NUL byte.
        self._address = b"\0" + address[1:] if address and address[:1] == b"@" else address

    def ready(self) -> None:
        self._say("READY=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def ended(self, code: int) -> None:
        """EXIT_STATUS, as a virtual machine or container tells its manager (systemd 254)."""
        self._say(f"STOPPING=1\nEXIT_STATUS={code}")

    def _say(self, message: str) -> None:
        if not self._address or self._address[:1] not in (b"/", b"\0"):
            return
        import _socket

        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
        try:
            sender.sendto(message.encode(), self._address)
        except OSError:
            return  # the host listens no more, or does not keep up: no reason to stop
        finally:
            sender.close()
