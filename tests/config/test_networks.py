from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.config.networks import UNIX, asgi_peer, parse_networks


def mapped(address: IPv4Address) -> IPv6Address:
    """Return an IPv4 address as an IPv6 socket shows it."""
    return IPv6Address(f"::ffff:{address}")


ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
#: Half of them mapped IPv4, and not one in 2**32 as at random.
ipv6 = st.integers(0, 2**128 - 1).map(IPv6Address) | ipv4.map(mapped)


def around(address: IPv4Address | IPv6Address, prefix: int) -> str:
    """Return the network of that many bits in which an address is."""
    if isinstance(address, IPv4Address):
        return str(IPv4Network((int(address), min(prefix, 32)), strict=False))
    return str(IPv6Network((int(address), prefix), strict=False))


networks_of_both = st.lists(st.builds(around, ipv4 | ipv6, st.integers(0, 128)), max_size=5)


@given(networks_of_both, ipv4)
def test_a_mapped_address_is_the_address(words: list[str], address: IPv4Address) -> None:
    """Whether a socket listens on IPv4 or on both decides how a peer is shown, never whether it is trusted."""
    networks = parse_networks(words)
    assert (str(address) in networks) == (str(mapped(address)) in networks)


@given(networks_of_both, ipv4, st.integers(0, 32))
def test_a_mapped_network_is_the_network(words: list[str], address: IPv4Address, prefix: int) -> None:
    """An administrator may have copied it from a log in either form."""
    network = around(address, prefix)
    as_mapped = around(mapped(address), prefix + 96)
    peers = [str(address), str(mapped(address)), "10.0.0.5", "fd00::1"]
    plain, other = parse_networks([*words, network]), parse_networks([*words, as_mapped])
    assert [peer in plain for peer in peers] == [peer in other for peer in peers]


@given(st.lists(ipv4, max_size=3), ipv4, st.integers(0, 32))
def test_ipv4_peers_are_where_the_network_has_them(others: list[IPv4Address], address: IPv4Address, bits: int) -> None:
    """Against the plain meaning of a prefix: its first bits are the same."""
    networks = parse_networks([around(address, bits)])
    assert str(address) in networks
    for other in others:
        assert (str(other) in networks) == (int(other) >> (32 - bits) == int(address) >> (32 - bits))


@given(st.lists(ipv6, max_size=3), ipv6, st.integers(0, 128))
def test_ipv6_peers_are_where_the_network_has_them(others: list[IPv6Address], address: IPv6Address, bits: int) -> None:
    """As for IPv4; a mapped peer is an IPv4 peer, so that `::/0` is not about it."""
    networks = parse_networks([around(address, bits)])
    whole_is_ipv4 = address.ipv4_mapped is not None and bits >= 96
    for other in [address, *others]:
        is_ipv4 = other.ipv4_mapped is not None
        shares_bits = int(other) >> (128 - bits) == int(address) >> (128 - bits)
        assert (str(other) in networks) == (shares_bits and is_ipv4 == whole_is_ipv4)


@given(networks_of_both, st.text() | st.sampled_from(["", "<local>", "10.0.0.5:1234", "localhost", "/run/app.sock"]))
def test_a_peer_without_address_is_in_no_network(words: list[str], text: str) -> None:
    """A server that does not know its peer, or tells something else, makes nobody trusted."""
    try:
        IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        assert text not in parse_networks(["0.0.0.0/0", "::/0", *words])
        assert text not in parse_networks(["0.0.0.0/0", "::/0", *words, UNIX], unix=True) or text == UNIX


@given(networks_of_both)
def test_unix_sockets_only_where_they_are_named(words: list[str]) -> None:
    """No network has them in it."""
    assert UNIX not in parse_networks(words, unix=True)
    assert UNIX in parse_networks([*words, UNIX], unix=True)


def test_whether_there_is_anything_to_trust() -> None:
    """As settings ask it: one network is enough, and so is the socket."""
    assert not parse_networks([])
    assert parse_networks(["fd00::/8"])
    assert parse_networks([UNIX], unix=True)


@pytest.mark.parametrize("word", ["ten", "10.0.0.0/33", "10.0.0.1/8", "", UNIX])
def test_what_is_no_network_is_refused(word: str) -> None:
    """`unix` too, where only proxies with an address make sense."""
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        parse_networks([word])


@pytest.mark.parametrize(
    ("scope", "peer"),
    [
        ({"client": ("10.0.0.5", 50_000)}, "10.0.0.5"),
        ({"client": ("::ffff:10.0.0.5", 50_000)}, "::ffff:10.0.0.5"),
        ({"client": None}, UNIX),
        ({}, UNIX),
        ({"client": ("", 0)}, ""),
    ],
)
def test_the_peer_of_an_asgi_connection(scope: dict[str, object], peer: str) -> None:
    """`client` is left out on a Unix socket; an empty address is one that the server does not know."""
    assert asgi_peer(scope) == peer
