"""The names of OpenTelemetry's semantic conventions, today's and former ones: to a rule they are one thing.

A rule that names an attribute in either vocabulary reads it from spans of either. Three cases: it has another name, its
value is spelled otherwise, or several attributes of the other vocabulary hold it together, as a URL and its host.

Source: the deprecations in OpenTelemetry's semantic conventions (`opentelemetry.semconv`), and what instrumentations
write (`tests/sdk/test_real_conventions.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from ldv_otel._internal.rules.http_fields import path_of, query_of
from ldv_otel._internal.rules.patterns import text_of, texts_of
from ldv_otel._internal.rules.url_fields import host_and_port, origin, port_of, scheme_of, whole_url

Attributes = Mapping[str, object]
Side = Literal["inbound", "outbound"]

#: What every kind of span calls an attribute today, and what it was called before.
_FORMER: Final[Mapping[str, tuple[str, ...]]] = {
    "http.request.method": ("http.method",),
    "http.response.status_code": ("http.status_code",),
    "url.full": ("http.url",),
    "url.scheme": ("http.scheme",),
    "user_agent.original": ("http.user_agent",),
    "network.protocol.name": ("net.protocol.name",),
    "network.protocol.version": ("net.protocol.version", "http.flavor"),
    "network.transport": ("net.transport",),
    "messaging.destination.name": ("messaging.destination",),
    "messaging.operation.type": ("messaging.operation",),
    "messaging.message.id": ("messaging.message_id",),
    "messaging.message.conversation_id": ("messaging.conversation_id",),
    "messaging.consumer.group.name": ("messaging.kafka.consumer.group", "messaging.kafka.consumer_group"),
    "db.system.name": ("db.system",),
    "db.namespace": ("db.name",),
    "db.collection.name": ("db.sql.table",),
    "db.operation.name": ("db.operation",),
    "db.query.text": ("db.statement",),
    "rpc.system.name": ("rpc.system",),
    "rpc.response.status_code": ("rpc.grpc.status_code",),
    "code.file.path": ("code.filepath",),
    "code.line.number": ("code.lineno",),
    "service.peer.name": ("peer.service",),
}
#: What depends on who calls: a peer is the server to the span of a client, and the client to all others.
_FORMER_BY_SIDE: Final[Mapping[Side, Mapping[str, tuple[str, ...]]]] = {
    "outbound": {
        "server.address": ("net.peer.name",),
        "server.port": ("net.peer.port",),
        "network.peer.address": ("net.peer.ip", "net.sock.peer.addr"),
        "network.peer.port": ("net.sock.peer.port",),
    },
    "inbound": {
        "server.address": ("net.host.name",),
        "server.port": ("net.host.port",),
        "client.address": ("http.client_ip", "net.peer.ip", "net.sock.peer.addr", "net.peer.name"),
        "client.port": ("net.peer.port", "net.sock.peer.port"),
    },
}
_GRPC_CODES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
#: Values of today, by the attribute, and what they were.
_FORMER_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "network.protocol.version": {"2": "2.0", "3": "3.0"},
    "network.transport": {"tcp": "ip_tcp", "udp": "ip_udp"},
    "messaging.operation.type": {"send": "publish"},
    "db.system.name": {"microsoft.sql_server": "mssql", "oracle.db": "oracle", "ibm.db2": "db2", "sap.hana": "hanadb"},
    "rpc.response.status_code": {name: str(number) for number, name in enumerate(_GRPC_CODES)},
}


class Source(msgspec.Struct, frozen=True):
    """Where the value of an attribute is read.

    Attributes:
        names: The name that a rule wrote, then the others; the first that a span has counts.
        meaning: Its name of today.
        derive: Reads it from other attributes, for a span that has none of the names; empty where they lack it too.
        respell: Gives the other spelling of a value; empty for none.
    """

    names: tuple[str, ...]
    meaning: str
    derive: Callable[[Attributes], str] | None = None
    respell: Callable[[str, Attributes], str] | None = None

    def texts(self, attributes: Attributes) -> Sequence[str]:
        """Return the texts that a pattern is matched against; none where the span has nothing of it."""
        texts: Sequence[str] = ()
        for name in self.names:
            value = attributes.get(name)
            if value is not None:
                texts = (value,) if isinstance(value, str) else texts_of(value)
                break
        else:
            if self.derive is not None and (text := self.derive(attributes)):
                texts = (text,)
        if self.respell is None:
            return texts
        return [*texts, *filter(None, (self.respell(text, attributes) for text in texts))]


@functools.cache
def source_of(name: str, side: Side) -> Source:
    """Return where spans of one side have the attribute that a rule names, in either vocabulary.

    Only names of rules are asked for, so what is remembered is bounded by their number.
    """
    former = {**_FORMER, **_FORMER_BY_SIDE[side]}
    meaning = next((today for today, names in former.items() if name in names), name)
    derive = _DERIVED.get(name) or _DERIVED.get(meaning)
    if name in _WITH_SIDE or meaning in _WITH_SIDE:
        derive = functools.partial(_WITH_SIDE.get(name) or _WITH_SIDE[meaning], side)
    values = _FORMER_VALUES.get(meaning)
    respell = functools.partial(_respelled, {**values, **{old: new for new, old in values.items()}}) if values else None
    names = tuple(dict.fromkeys((name, meaning, *former.get(meaning, ()))))
    return Source(names, meaning, derive, respell or _RESPELLED.get(name))


def names_of_attribute(name: str) -> tuple[str, ...]:
    """Return the names under which spans of any kind have an attribute, the one that is asked for first."""
    meaning = next((today for today, names in _FORMER.items() if name in names), name)
    return tuple(dict.fromkeys((name, meaning, *_FORMER.get(meaning, ()))))


def _respelled(spellings: Mapping[str, str], text: str, attributes: Attributes) -> str:
    del attributes
    return spellings.get(text, "")


def _text(attributes: Attributes, names: Sequence[str]) -> str:
    for name in names:
        if (value := attributes.get(name)) is not None:
            return text_of(value)
    return ""


def _of(side: Side, name: str, attributes: Attributes) -> str:
    """Return an attribute of today, as text, from a span of either vocabulary."""
    return next(iter(source_of(name, side).texts(attributes)), "")


def _server_address(side: Side, attributes: Attributes) -> str:
    host = host_and_port(_text(attributes, ("http.host",)))[0] or host_and_port(whole_url(attributes))[0]
    return host or (_text(attributes, ("http.server_name",)) if side == "inbound" else "")


def _server_port(side: Side, attributes: Attributes) -> str:
    del side
    return host_and_port(_text(attributes, ("http.host",)))[1] or port_of(whole_url(attributes))


def _host(side: Side, attributes: Attributes) -> str:
    """Return what `http.host` was: the name of the server, without the port that a client may have added."""
    return _of(side, "server.address", attributes)


def _whole(side: Side, attributes: Attributes) -> str:
    """Return the URL of a request that came in, which instrumentations write in parts."""
    scheme, host = (_of(side, name, attributes) for name in ("url.scheme", "server.address"))
    if not scheme or not host:
        return ""
    query = query_of(attributes)
    return (
        origin(scheme, host, _of(side, "server.port", attributes))
        + path_of(attributes)
        + (f"?{query}" if query else "")
    )


def _target(attributes: Attributes) -> str:
    query = query_of(attributes)
    return path_of(attributes) + (f"?{query}" if query else "")


def _function(attributes: Attributes) -> str:
    parts = [_text(attributes, (name,)) for name in ("code.namespace", "code.function")]
    return ".".join(filter(None, parts))


def _other_host(text: str, attributes: Attributes) -> str:
    """Return a host without its port where it has one, and with the one of the span where it has none."""
    host, port = host_and_port(text)
    if port:
        return host
    port = _text(attributes, ("server.port", "net.host.port", "net.peer.port")) or port_of(whole_url(attributes))
    return f"{text}:{port}" if port else ""


def _bare_target(text: str, attributes: Attributes) -> str:
    """Return the path alone where a target is put together here: FastAPI's former one has no query, others' has."""
    return "" if "http.target" in attributes else text.partition("?")[0]


def _other_method(text: str, attributes: Attributes) -> str:
    """Return a method of RPC without its service where it is whole, and whole where it is not."""
    if "/" in text:
        return text.rpartition("/")[2]
    service = _text(attributes, ("rpc.service",))
    return f"{service}/{text}" if service else ""


_DERIVED: Final[Mapping[str, Callable[[Attributes], str]]] = {
    "url.path": path_of,
    "url.query": query_of,
    "url.scheme": lambda attributes: scheme_of(whole_url(attributes)),
    "http.target": _target,
    "rpc.service": lambda attributes: _text(attributes, ("rpc.method",)).rpartition("/")[0],
    "code.function.name": _function,
    "code.function": lambda attributes: _text(attributes, ("code.function.name",)).rpartition(".")[2],
    "code.namespace": lambda attributes: _text(attributes, ("code.function.name",)).rpartition(".")[0],
}
_WITH_SIDE: Final[Mapping[str, Callable[[Side, Attributes], str]]] = {
    "server.address": _server_address,
    "server.port": _server_port,
    "http.host": _host,
    "http.server_name": _host,
    "url.full": _whole,
}
#: A host may come with its port, and a method with its service, in either vocabulary.
_RESPELLED: Final[Mapping[str, Callable[[str, Attributes], str]]] = {
    "http.host": _other_host,
    "http.target": _bare_target,
    "rpc.method": _other_method,
}
