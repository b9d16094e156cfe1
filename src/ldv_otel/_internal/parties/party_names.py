"""Names of other parties for people to read: those of `LDV_PARTIES`, else the host of an address."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from ldv_otel._internal.parties.parties import ReadApi
from ldv_otel._internal.parties.read_api_paths import api_base


class PartyNames:
    """Names parties by the addresses that records have of them.

    Args:
        apis: Read APIs of other parties.
    """

    def __init__(self, apis: Iterable[ReadApi] = ()) -> None:
        self._by_base: dict[str, str] = {}
        self._by_processor: dict[str, str] = {}
        for api in apis:
            self._by_base[api_base(api.url)] = api.name
            self._by_processor.update(dict.fromkeys(api.processors, api.name))

    def of_read_api(self, url: str) -> str:
        """Return the name of the party with that read API."""
        return self._by_base.get(api_base(url)) or host_of(url)

    def of_processor(self, url: str) -> str:
        """Return the name of the party with that application."""
        return self._by_processor.get(url) or host_of(url)


def host_of(url: str) -> str:
    """Return the host of an address; the whole of what is none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url
