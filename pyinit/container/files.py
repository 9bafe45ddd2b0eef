"""The files that tell a container its name and its network: hosts, hostname, resolv.conf."""

from __future__ import annotations

import os
from pathlib import Path

from pyinit.container.network import resolv
from pyinit.container.network.attachment import Attachment
from pyinit.spec.container import ContainerSpec
from pyinit.spec.network import HostNetwork


def write_network_files(folder: Path, spec: ContainerSpec, attachment: Attachment | None) -> None:
    """Put them into the container's folder, from where they are mounted over /etc."""
    shared = isinstance(spec.network, HostNetwork)
    hostname = spec.hostname or spec.name
    addresses = [] if attachment is None else [each.split("/")[0] for each in attachment.addresses]
    gateways = [] if attachment is None else attachment.gateways
    texts = {
        "hosts": resolv.hosts(
            [hostname],
            addresses,
            spec.add_host,
            gateways,
            base=resolv.host_hosts() if shared else None,
        ),
        "hostname": f"{hostname}\n",
        "resolv.conf": resolv.resolv_conf(
            resolv.host_resolv_conf(), spec.dns, spec.dns_search, shared=shared
        ),
    }
    for name, text in texts.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o644)
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
