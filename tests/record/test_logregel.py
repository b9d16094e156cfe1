from __future__ import annotations

from hypothesis import given

from ldv_otel._internal.record.logregel import Logregel, decode_logregel, encode_logregel
from tests.strategies import logregels


@given(logregels())
def test_decoding_undoes_encoding(logregel: Logregel) -> None:
    """A record that went through its bytes is the record."""
    assert decode_logregel(encode_logregel(logregel)) == logregel


@given(logregels())
def test_equal_records_have_equal_bytes(logregel: Logregel) -> None:
    """A token is a hash of the bytes, so the order in which attributes were set may not matter."""
    data = encode_logregel(logregel)
    turned = decode_logregel(data)
    reordered = dict(reversed(turned.attributes.items()))
    turned.attributes.clear()
    turned.attributes.update(reordered)
    assert encode_logregel(turned) == data
