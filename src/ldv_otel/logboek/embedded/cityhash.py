"""CityHash128 as of version 1.0.2, the checksum of ClickHouse's compressed frames.

ClickHouse stays with this version, whose results later ones changed, so no general package computes it. In Python it
runs at a few MB/s: enough for the answers of the few clients that insist on frames (`compress=1`).
"""

from __future__ import annotations

import struct
from typing import Final

_MASK: Final = (1 << 64) - 1
_K0: Final = 0xC3A5C85C97CB3127
_K1: Final = 0xB492B66FBE98F273
_K2: Final = 0x9AE16A3B2F90404F
_K3: Final = 0xC949D7C7509E6557
_KMUL: Final = 0x9DDFEA08EB382D69

_read_u64: Final = struct.Struct("<Q").unpack_from
_read_u32: Final = struct.Struct("<I").unpack_from


def cityhash128(data: bytes) -> tuple[int, int]:
    """Return the low and the high half of the hash."""
    size = len(data)
    if size >= 16:  # noqa: PLR2004  (the bounds below are the algorithm's own)
        return _with_seed(data[16:], _u64(data, 0) ^ _K3, _u64(data, 8))
    if size >= 8:  # noqa: PLR2004
        return _with_seed(b"", _u64(data, 0) ^ (size * _K0 & _MASK), _u64(data, size - 8) ^ _K1)
    return _with_seed(data, _K0, _K1)


def _u64(data: bytes, at: int) -> int:
    value: int = _read_u64(data, at)[0]
    return value


def _rotate(value: int, shift: int) -> int:
    return ((value >> shift) | (value << (64 - shift))) & _MASK if shift else value


def _shift_mix(value: int) -> int:
    return value ^ (value >> 47)


def _hash16(low: int, high: int) -> int:
    a = _shift_mix((low ^ high) * _KMUL & _MASK)
    b = _shift_mix((high ^ a) * _KMUL & _MASK)
    return b * _KMUL & _MASK


def _hash_to_16(data: bytes) -> int:
    size = len(data)
    if size > 8:  # noqa: PLR2004
        a, b = _u64(data, 0), _u64(data, size - 8)
        return _hash16(a, _rotate((b + size) & _MASK, size)) ^ b
    if size >= 4:  # noqa: PLR2004
        return _hash16((size + (_read_u32(data, 0)[0] << 3)) & _MASK, _read_u32(data, size - 4)[0])
    if size:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _shift_mix((y * _K2 ^ z * _K3) & _MASK) * _K2 & _MASK
    return _K2


def _weak_hash32(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = struct.unpack_from("<4Q", data, at)
    a = (a + w) & _MASK
    b = _rotate((b + a + z) & _MASK, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotate(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def _murmur(data: bytes, low: int, high: int) -> tuple[int, int]:
    size = len(data)
    a, b = low, high
    if size <= 16:  # noqa: PLR2004
        a = _shift_mix(a * _K1 & _MASK) * _K1 & _MASK
        c = (b * _K1 + _hash_to_16(data)) & _MASK
        d = _shift_mix((a + (_u64(data, 0) if size >= 8 else c)) & _MASK)  # noqa: PLR2004
    else:
        c = _hash16((_u64(data, size - 8) + _K1) & _MASK, a)
        d = _hash16((b + size) & _MASK, (c + _u64(data, size - 16)) & _MASK)
        a = (a + d) & _MASK
        for at in range(0, size - 16, 16):
            a = (a ^ _shift_mix(_u64(data, at) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            b ^= a
            c = (c ^ _shift_mix(_u64(data, at + 8) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            d ^= c
    a, b = _hash16(a, c), _hash16(d, b)
    return a ^ b, _hash16(b, a)


def _with_seed(data: bytes, low: int, high: int) -> tuple[int, int]:
    size = len(data)
    if size < 128:  # noqa: PLR2004
        return _murmur(data, low, high)
    x, y, z = low, high, size * _K1 & _MASK
    v0 = (_rotate(y ^ _K1, 49) * _K1 + _u64(data, 0)) & _MASK
    v1 = (_rotate(v0, 42) * _K1 + _u64(data, 8)) & _MASK
    w0 = (_rotate((y + z) & _MASK, 35) * _K1 + x) & _MASK
    w1 = _rotate((x + _u64(data, 88)) & _MASK, 53) * _K1 & _MASK
    at = 0
    while size - at >= 128:  # noqa: PLR2004
        for _ in range(2):
            x = _rotate((x + y + v0 + _u64(data, at + 16)) & _MASK, 37) * _K1 & _MASK
            y = _rotate((y + v1 + _u64(data, at + 48)) & _MASK, 42) * _K1 & _MASK
            x ^= w1
            y ^= v0
            z = _rotate(z ^ w0, 33)
            v0, v1 = _weak_hash32(data, at, v1 * _K1 & _MASK, (x + w0) & _MASK)
            w0, w1 = _weak_hash32(data, at + 32, (z + w1) & _MASK, y)
            z, x = x, z
            at += 64
    rest = size - at
    y = (y + _rotate(w0, 37) * _K0 + z) & _MASK
    x = (x + _rotate((v0 + z) & _MASK, 49) * _K0) & _MASK
    for done in range(32, rest + 32, 32):
        y = (_rotate((y - x) & _MASK, 42) * _K0 + v1) & _MASK
        w0 = (w0 + _u64(data, size - done + 16)) & _MASK
        x = (_rotate(x, 49) * _K0 + w0) & _MASK
        w0 = (w0 + v0) & _MASK
        v0, v1 = _weak_hash32(data, size - done, v0, v1)
    x, y = _hash16(x, v0), _hash16(y, w0)
    return (_hash16((x + v1) & _MASK, w1) + y) & _MASK, _hash16((x + w1) & _MASK, (y + v1) & _MASK)
