"""Which machines a source may talk to: the public internet, and inside the own network only what is named.

The address that was checked is the one that is connected to, so a name that resolves to something else
the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from nlp_skills.data.sources.cure import cure, option
from nlp_skills.errors import NotValid

Resolve: TypeAlias = Callable[[str, int], list[str]]
"""(host, port) → its addresses. Raises socket.gaierror."""

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NEVER: tuple[Network, ...] = (
    ip_network("169.254.0.0/16"),
    ip_network("fe80::/10"),
    ip_network("100.100.100.200/32"),  # Alibaba Cloud's metadata
    ip_network("192.0.0.192/32"),  # Oracle Cloud's metadata
    ip_network("168.63.129.16/32"),  # Azure's wire server, an address that looks public
    ip_network("fd00:ec2::254/128"),  # Amazon's metadata
    ip_network("fd20:ce::254/128"),  # Google's metadata
)
"""Link-local, and where clouds hand a machine its credentials: refused even when named in private_hosts."""

_GLOBAL_UNICAST = ip_network("2000::/3")
_SPECIAL: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
"""IANA's special-purpose registries (RFC 6890) and multicast, what of them is not in NEVER. `is_global` says the
same, but which of them it knows, and with which exceptions, differs between patch releases of Python."""
_NAT64 = ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system's resolver knows them, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def allowed_addresses(
    host: str, port: int, private_hosts: Sequence[str], addresses: Sequence[str]
) -> Sequence[str]:
    """The addresses that a host resolved to, if they may be connected to.

    Raises NotValid when one of them is inside a private network and the host is not named in
    `private_hosts` (`host` or `host:port`), or is one that is never called.
    """
    named = _is_named(host, port, private_hosts)
    for address in addresses:
        kind = _refused(address)
        if kind == "never":
            raise NotValid(
                f"{host} is at {address}, which is link-local or hands out a machine's credentials;"
                " such addresses are never called. Check the URL and where it redirects to."
            )
        if kind == "private" and not named:
            raise NotValid(
                f"{host} is at {address}, which is not a public address, so it is not called. If it is meant, "
                + cure(
                    f"add to this source in data_source.yaml: private_hosts: [{_spelled(host)}:{port}]",
                    f"add: {option('private_hosts', f'[{_spelled(host)}:{port}]')}",
                )
            )
    return addresses


def _refused(address: str) -> str | None:
    """ "never", "private", or None for a public address."""
    try:
        given = ip_address(address.partition("%")[0])
    except ValueError:
        return "never"
    ip = _inner(given)
    if _is_in(ip, NEVER):
        return "never"
    return None if _is_public(ip) and not _is_in(given, _SPECIAL) else "private"


def _is_in(ip: Address, networks: Sequence[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _inner(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.teredo:
        return ip.teredo[1]
    return ip.ipv4_mapped or ip.sixtofour or ip


def _is_public(ip: Address) -> bool:
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not _is_in(ip, _SPECIAL)


def _is_named(host: str, port: int, private_hosts: Sequence[str]) -> bool:
    spelled = _spelled(host.lower().rstrip("."))
    listed = {name.strip().lower() for name in private_hosts}
    return bool(listed & {spelled, host.lower(), f"{spelled}:{port}"})


def _spelled(host: str) -> str:
    return f"[{host}]" if ":" in host else host
