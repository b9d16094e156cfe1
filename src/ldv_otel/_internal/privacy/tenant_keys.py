"""The keys of several controllers in one process: each its own, so that one person has another pseudonym at each."""

from __future__ import annotations

import hashlib

from ldv_otel._internal.config.logboeken import QUARANTINE, SHARED_KEY, LogboekenFile
from ldv_otel._internal.privacy.key_file import read_keys
from ldv_otel._internal.privacy.pseudonyms import KeyRing
from ldv_otel.errors import ConfigurationError


def read_tenant_keys(file: LogboekenFile) -> dict[str, KeyRing]:
    """Return the key ring of each tenant and of the quarantine, by id.

    A secret counts, not the file that it stands in: a copy of a key file, or an old key that went along into a ring,
    would link the records of two controllers as well.

    Raises:
        ConfigurationError: A key file cannot be used, or two that may not share a key have one; with the line.
    """
    rings: dict[str, KeyRing] = {}
    holders: dict[bytes, str] = {}
    entries = {QUARANTINE: file.content.quarantine} | {tenant.id: tenant for tenant in file.content.tenants}
    for tenant_id, entry in entries.items():
        path = file.file(entry.keys)
        try:
            ring = read_keys(path) if path is not None else None
        except ConfigurationError as error:
            raise ConfigurationError(f"{file.place_of(tenant_id)}: {error} Logging did not start.") from error
        if ring is None:
            continue
        rings[tenant_id] = ring
        for key in ring.keys.values():
            holder = holders.setdefault(hashlib.sha256(key.secret.encode()).digest(), tenant_id)
            if holder != tenant_id and not (entry.shared_key and entries[holder].shared_key):
                raise ConfigurationError(
                    f"{file.place_of(tenant_id)}: {tenant_id} has the key {key.id!r}, whose secret {holder} has too. "
                    f"{SHARED_KEY}. Logging did not start."
                )
    return rings
