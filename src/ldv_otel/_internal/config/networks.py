"""Whether the peer of a connection is in one of the networks that a setting or a file names.

Proxies and gateways set headers that others could set as well, so such a header counts only on their connections.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: A peer at the other end of a Unix socket of this machine, which has no address.
UNIX: Final = "unix"
#: IPv4 addresses as an IPv6 socket shows them: the last 32 bits are the address (RFC 4291, section 2.5.5.2).
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_IPV4_MASK: Final = 2**32 - 1


class Networks(msgspec.Struct, frozen=True):
    """Addresses and networks, and whether peers on a Unix socket are among them.

    An IPv4 address and its IPv6-mapped form are one address: which of the two a server sees depends on whether its
    socket listens on IPv4 or on both, and who is trusted must not depend on that.
    """

    networks: tuple[IPNetwork, ...] = ()
    unix: bool = False

    def __bool__(self) -> bool:
        """Say whether any peer can be in them."""
        return self.unix or bool(self.networks)

    def __contains__(self, peer_address: str) -> bool:
        """Say whether a peer is in one of them.

        Args:
            peer_address: As text; `unix` for a Unix socket. A peer with another text, such as none, is in no network.
        """
        if peer_address == UNIX:
            return self.unix
        try:
            address = ipaddress.ip_address(peer_address)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


def parse_networks(words: Iterable[str], *, unix: bool = False) -> Networks:
    """Return the networks that words name, such as `10.0.0.5`, `10.1.0.0/16` and `fd00::/8`.

    Args:
        unix: Whether the word `unix` may be among them.

    Raises:
        ValueError: A word is no address and no network.
    """
    words = tuple(words)
    networks = tuple(_network(word) for word in words if not (unix and word == UNIX))
    return Networks(networks, unix=unix and UNIX in words)


def asgi_peer(scope: Mapping[str, Any]) -> str:
    """Return the address of the other end of an ASGI connection; `unix` where the server names none.

    Servers leave `client` out on Unix sockets, and only there (ASGI, HTTP connection scope).
    """
    client = scope.get("client")
    return str(client[0]) if client else UNIX


def _network(word: str) -> IPNetwork:
    network = ipaddress.ip_network(word)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & _IPV4_MASK, network.prefixlen - _MAPPED.prefixlen))
    return network
