"""The one place where it is chosen whose an Actie is.

In this order, at the moment its span begins:

1. the tenant that code names around it (`ldv_otel.tenant`);
2. that of what it is part of: the Actie around it, or a span around it of which it was known;
3. what its request says: a trusted caller (`tracestate`), a header or claim by a gateway, its host, its path;
4. an attribute of the resource;
5. the default of the file.

Sources that contradict one another, or name a tenant that the file does not have, choose the quarantine: never another
controller's Logboek. A header that no gateway has set, and a caller that has proven nothing, are as if they said
nothing.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span

from ldv_otel._internal.config.logboeken import LogboekenFile, host_and_port
from ldv_otel._internal.parties.evidence import Evidence
from ldv_otel._internal.parties.parties import Parties
from ldv_otel._internal.sdk import _private, span_state
from ldv_otel._internal.sdk.tenant_context import named_tenant
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

#: Key of what a request says, in OpenTelemetry's context.
_REQUEST: Final = otel_context.create_key("ldv_otel.tenant_of_request")
#: Where instrumentations of servers say what was asked for.
_HOSTS: Final = ("server.address", "http.host", "http.server_name", "net.host.name")
_PATHS: Final = ("url.path", "http.target")
#: No file has paths with more parts than this that tell tenants apart.
_MAX_PATH_PARTS: Final = 8
_MAX_TOKEN_CHARACTERS: Final = 16_384
_JWT_PARTS: Final = 3
#: What stands for a name that no tenant has.
_NOBODY: Final = ""


class Decision(NamedTuple):
    """Whose a span is.

    Attributes:
        tenant: Its id; empty where nothing names one, or nothing can be believed.
        decided: Whether that holds for what is inside too. If not, a span inside may say more.
        contradicted: Whether something was said that cannot be followed.
    """

    tenant: str
    decided: bool
    contradicted: bool = False


class InboundRequest(NamedTuple):
    """What can be asked of an inbound call.

    Attributes:
        evidence: Gives the evidence of the caller.
        header: Gives the values of a header.
        path: Gives the path that was asked for; empty where the carrier has none.
        by_caller: The tenant that the caller's `tracestate` names; empty for none.
    """

    evidence: Callable[[], Evidence]
    header: Callable[[str], Iterable[str]]
    path: Callable[[], str]
    by_caller: str


_CONTRADICTED: Final = Decision("", decided=True, contradicted=True)


class TenantChoice:
    """Chooses whose a span is, by a file that another may take the place of.

    Args:
        file: The tenants.
        parties: The gateways whose headers are believed, and the callers that prove who they are.

    Raises:
        ConfigurationError: A rule could never be followed safely; with the line of the file.
    """

    def __init__(self, file: LogboekenFile, parties: Parties) -> None:
        self._parties = parties
        #: Each question goes to one of these, and never to half of an old and half of a new one.
        self._current = _FileChoice(file, parties)

    def follow(self, file: LogboekenFile, taking_over: Callable[[], None]) -> None:
        """Choose by another file from here on.

        Args:
            taking_over: Called once the file is known to be good, before anything is chosen by it.

        Raises:
            ConfigurationError: It cannot be followed, or what is called raises it; the one of before stays.
        """
        following = _FileChoice(file, self._parties)
        taking_over()
        self._current = following

    def has(self, tenant_id: str) -> bool:
        """Return whether there is a Logboek of that tenant."""
        return self._current.has(tenant_id)

    def of_span(self, span: Span, parent_context: Context | None) -> Decision:
        """Return whose a span is that begins."""
        return self._current.of_span(span, parent_context)

    def read_request(self, context: Context, request: InboundRequest) -> Context:
        """Return the context of an inbound call with what it says."""
        return self._current.read_request(context, request)

    def is_told(self, tenant_id: str, host: str, port: int) -> bool:
        """Return whether the party at an address is told the tenant when it is called."""
        return self._current.is_told(tenant_id, host, port)


class _FileChoice:
    """Chooses by one file; see `TenantChoice`."""

    def __init__(self, file: LogboekenFile, parties: Parties) -> None:
        self._file = file
        self._parties = parties
        content = file.content
        self._rules = content.rules
        self._default = Decision(content.default, decided=False)
        self._by_value = {value: tenant.id for tenant in content.tenants for value in (tenant.id, *tenant.values)}
        self._by_host = {host: tenant.id for tenant in content.tenants for host in tenant.hosts}
        self._by_path = {
            tuple(path.strip("/").split("/")): tenant.id for tenant in content.tenants for path in tenant.paths
        }
        self._calls = {tenant.id: frozenset(tenant.calls) for tenant in content.tenants}
        self._callers = {tenant.id: frozenset(tenant.callers) for tenant in content.tenants}
        self._believed = frozenset[str]().union(*self._callers.values())
        self._of_resource: tuple[object, Sequence[str]] = (None, ())
        self._check()

    def _check(self) -> None:
        rules, place = self._rules, self._file.place_of("")
        if (rules.header or rules.claim) and not self._parties.has_gateways:
            raise ConfigurationError(
                f"{place}: rules has a header or claim, which anybody can send, and LDV_PARTIES names no gateways that "
                "set it. Logging did not start. Name them under gateways, and let them remove what clients send."
            )
        for tenant in self._file.content.tenants:
            for name in tenant.callers:
                caller = self._parties.named(name)
                if caller is None or all(proof.claim for proof in caller.proven_by):
                    raise ConfigurationError(
                        f"{self._file.place_of(tenant.id)}: callers names {name!r}, which LDV_PARTIES does not have, "
                        "or only with a claim, which proves nothing. Logging did not start. Give it a certificate, or "
                        "a header that a gateway sets."
                    )

    def has(self, tenant_id: str) -> bool:
        """Return whether there is a Logboek of that tenant."""
        return self._file.tenant(tenant_id) is not None

    def of_span(self, span: Span, parent_context: Context | None) -> Decision:
        """Return whose a span is that begins."""
        named = named_tenant(parent_context)
        above, _ = span_state.above_of(parent_context)
        if above is not None:
            is_part = above.as_enclosing() is not None
            if named and is_part:
                # Also one that is gone meanwhile: what is part of an Actie is logged where that is.
                return Decision(named, decided=True) if above.owner.tenant == named else _CONTRADICTED
            if not named and (is_part or above.owner.tenant_decided):
                return Decision(above.owner.tenant, decided=True, contradicted=not above.owner.tenant)
        if named:
            return Decision(named, decided=True) if self.has(named) else _CONTRADICTED
        said = set(self._said(span, parent_context))
        if not said:
            said = set(self._said_by_resource(span))
        if not said:
            return self._default
        # A request that was read by the file of before may name a tenant that is gone.
        if len(said) > 1 or not all(map(self.has, said)):
            return _CONTRADICTED
        return Decision(said.pop(), decided=True)

    def _said(self, span: Span, parent_context: Context | None) -> Iterator[str]:
        """Give what a request says: in its headers, and where an instrumentation says what was asked for."""
        request = otel_context.get_value(_REQUEST, parent_context)
        if isinstance(request, tuple):
            yield from request
        if not (self._by_host or self._by_path):
            return
        attributes = _private.attributes(span)
        for name in _HOSTS:
            host = attributes.get(name)
            if isinstance(host, str):
                yield from self._of_host(host)
                break
        for name in _PATHS:
            path = attributes.get(name)
            if isinstance(path, str):
                yield from self._of_path(path)
                break

    def _of_host(self, host: str) -> Iterator[str]:
        tenant = self._by_host.get(host_and_port(host.lower())[0].rstrip("."))
        if tenant is not None:
            yield tenant

    def _of_path(self, path: str) -> Iterator[str]:
        parts = path.partition("?")[0].strip("/").split("/", _MAX_PATH_PARTS)[:_MAX_PATH_PARTS]
        for length in range(len(parts), 0, -1):
            tenant = self._by_path.get(tuple(parts[:length]))
            if tenant is not None:
                yield tenant
                return

    def _said_by_resource(self, span: Span) -> Sequence[str]:
        name = self._rules.resource
        if not name:
            return ()
        resource, said = self._of_resource
        if resource is not span.resource:
            value = span.resource.attributes.get(name)
            said = () if value is None else (self._by_value.get(str(value), _NOBODY),)
            self._of_resource = (span.resource, said)
        return said

    def read_request(self, context: Context, request: InboundRequest) -> Context:
        """Return the context of an inbound call with what it says."""
        rules = self._rules
        if not (request.by_caller or rules.header or rules.claim or self._by_host or self._by_path):
            return context
        try:
            said = tuple(self._said_by(request))
        except Exception as error:  # LDV-A8: the certificate of an untrusted caller may hold anything
            _logger.warning(
                "What a call says of its tenant could not be read (%s); its Acties go to the quarantine.",
                type(error).__name__,
            )
            said = (_NOBODY,)
        return otel_context.set_value(_REQUEST, said, context) if said else context

    def _said_by(self, request: InboundRequest) -> Iterator[str]:
        header, by_caller = request.header, request.by_caller
        if self._by_host:
            # Not only from the span: servers of ASGI name the address there that they listen on.
            for host in header("host"):
                yield from self._of_host(host)
        if self._by_path:
            yield from self._of_path(request.path())
        if not (by_caller or self._rules.header or self._rules.claim):
            return
        evidence = request.evidence()
        if by_caller:
            caller = self._parties.proven_caller(evidence)
            if caller is not None and caller.name in self._believed:
                yield by_caller if caller.name in self._callers.get(by_caller, ()) else _NOBODY
        if not self._parties.is_gateway(evidence.peer_address):
            return
        rules = self._rules
        values = list(header(rules.header)) if rules.header else []
        if rules.claim:
            values += _claims(header("authorization"), rules.claim)
        for value in values:
            yield self._by_value.get(value, _NOBODY)

    def is_told(self, tenant_id: str, host: str, port: int) -> bool:
        """Return whether the party at an address is told the tenant when it is called."""
        calls = self._calls.get(tenant_id)
        if not calls:
            return False
        host = host.lower().rstrip(".")
        return host in calls or f"{host}:{port}" in calls


def _claims(values: Iterable[str], name: str) -> Iterator[str]:
    """Give the claim of bearer tokens whose signature a gateway has checked; nothing of what cannot be read."""
    for value in values:
        scheme, _, token = value.strip().partition(" ")
        parts = token.strip().split(".")
        if scheme.lower() != "bearer" or len(parts) != _JWT_PARTS or len(token) > _MAX_TOKEN_CHARACTERS:
            continue
        try:
            claims: Any = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, binascii.Error, RecursionError):
            continue
        claim = claims.get(name) if isinstance(claims, Mapping) else None
        if claim is not None:
            yield claim if isinstance(claim, str) else _NOBODY
