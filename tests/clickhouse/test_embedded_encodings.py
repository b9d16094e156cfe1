from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable

import lz4.block  # type: ignore[import-untyped]  # no stubs
import lz4.frame  # type: ignore[import-untyped]  # no stubs
import pytest

from ldv_otel._internal.clickhouse.embedded.body import RequestBody, decompressed
from ldv_otel._internal.clickhouse.embedded.errors import EngineError
from ldv_otel._internal.clickhouse.embedded.framing import checksum, framed, unframed
from ldv_otel._internal.clickhouse.embedded.native_revision import at_revision
from ldv_otel._internal.http.zstd import zstd_module
from tests.support.chance import noise

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": lambda data: bytes(zstd_module().compress(data)),
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def body(data: bytes, limit: int = 1 << 30) -> RequestBody:
    """A body that holds these bytes; closed by the garbage collector at the latest."""
    made = RequestBody(limit)
    made.write(data)
    return made


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_bodies_of_many_frames_are_unpacked_whole(encoding: str) -> None:
    """The driver makes a frame of each block; all of them arrive, whatever the boundaries."""
    blocks = [noise(1_500_000), b"", b"x" * 3_000_000, b"end"]
    packed = b"".join(map(COMPRESSORS[encoding], blocks))
    with body(packed) as given, decompressed(given, encoding) as plain:
        assert plain.read() == b"".join(blocks)


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"plain" + data, lambda data: data + b"tail"])
def test_a_damaged_body_is_refused(encoding: str, damage: Callable[[bytes], bytes]) -> None:
    """A body that is cut off, or followed by something else, is no body: half a batch must not be stored."""
    with body(damage(COMPRESSORS[encoding](noise(1000)))) as given, pytest.raises(EngineError) as refused:
        decompressed(given, encoding)
    assert (refused.value.code, refused.value.status) == (271, 400)


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_small_body_cannot_become_a_huge_one(encoding: str) -> None:
    """The limit on bodies holds for what they unpack to."""
    packed = COMPRESSORS[encoding](bytes(20_000_000))
    with body(packed, 10_000_000) as given, pytest.raises(EngineError) as refused:
        decompressed(given, encoding)
    assert refused.value.status == 413


def test_an_unknown_encoding_is_named() -> None:
    """An encoding that is not served is refused, not guessed."""
    with body(b"x") as given, pytest.raises(EngineError, match="Content-Encoding br") as refused:
        decompressed(given, "br")
    assert refused.value.status == 501


@pytest.mark.parametrize(
    ("data", "low", "high"),
    [
        (b"", 4463240938071824939, 4374473821787594281),
        (b"abc", 10380781289832139006, 1416689273191665022),
        (b"ClickHouse", 3964518429637719570, 8562533408163042306),
        (b"0123456789abcdef", 14208471641798625280, 8316357384502435404),
        (b"x" * 17, 7286278116754873388, 4051435285675928494),
        (bytes(range(256)), 3637695182468831899, 18106141058285419923),
        (bytes(range(256)) * 3 + b"tail", 6194910529408345442, 7967079671965511040),
    ],
)
def test_the_checksum_is_that_of_cityhash_1_0_2(data: bytes, low: int, high: int) -> None:
    """Each branch of the hash gives what the reference implementation gives."""
    assert checksum(data) == struct.pack("<QQ", low, high)


def test_frames_of_every_size_have_the_checksum_of_the_reference_implementation() -> None:
    """The checksums of 303 sizes are those of CityHash 1.0.2, as its port to Python computed them before it went."""
    sizes = (*range(1, 301), 1_000, 65_537, 1 << 20)
    contents = ((bytes(range(251)) * (size // 251 + 1))[:size] for size in sizes)
    heads = ((content, struct.pack("<BII", 0x02, 9 + len(content), len(content))) for content in contents)
    checksums = b"".join(checksum(head + content) for content, head in heads)
    assert hashlib.sha256(checksums).hexdigest() == ("c0e727985dfd47c2cfcce2c08002e9021bab3946bed77e60abf51d74b30f037f")


def frame(method: int, packed: bytes, size: int) -> bytes:
    """A frame as a client makes it; its checksum is not looked at."""
    return bytes(16) + struct.pack("<BII", method, 9 + len(packed), size) + packed


@pytest.mark.parametrize(
    ("method", "pack"),
    [
        (0x02, bytes),
        (0x82, lambda data: lz4.block.compress(data, store_size=False)),
        (0x90, lambda data: zstd_module().compress(data)),
    ],
)
def test_frames_of_each_method_are_unpacked(method: int, pack: Callable[[bytes], bytes]) -> None:
    """Bodies of drivers that use ClickHouse's own frames arrive whole."""
    parts = [b"x" * 100_000, b"and more"]
    with body(b"".join(frame(method, pack(part), len(part)) for part in parts)) as given, unframed(given) as plain:
        assert plain.read() == b"".join(parts)


@pytest.mark.parametrize(
    "data",
    [
        b"too short",
        frame(0x82, b"not lz4", 100),
        frame(0x02, b"short", 5)[:-1],
        frame(0x02, b"says more", 10),
        frame(0x82, lz4.block.compress(b"x" * 100, store_size=False), 50),
        bytes(16) + struct.pack("<BII", 0x82, 2, 10),
        bytes(16) + struct.pack("<BII", 0x82, 0xFFFFFFFF, 10),
    ],
)
def test_damaged_frames_are_refused(data: bytes) -> None:
    """What is not whole frames is not taken for data."""
    with body(data) as given, pytest.raises(EngineError) as refused:
        unframed(given)
    assert refused.value.code == 271


def test_a_frame_of_an_unknown_method_is_named() -> None:
    """Encrypted or delta frames, say, are refused with their number."""
    with body(frame(0x91, b"", 0)) as given, pytest.raises(EngineError, match="0x91"):
        unframed(given)


def test_answers_are_framed_with_their_checksum() -> None:
    """What this server frames, a client can verify and read."""
    data = noise(2_500_000)
    packed = framed(data)
    with body(packed) as given, unframed(given) as plain:
        assert plain.read() == data
    method, size, _ = struct.unpack_from("<BII", packed, 16)
    assert packed[:16] == checksum(packed[16 : 16 + size])
    # The only method that JDBC reads.
    assert method == 0x82


@pytest.mark.parametrize("size", [1, 14, 15, 16, 269, 270, 271, 524, 525, 526, 1 << 20])
def test_frames_of_every_length_are_lz4(size: int) -> None:
    """At each length where the count of literals takes another byte."""
    data = noise(size)
    packed = framed(data)
    assert lz4.block.decompress(packed[25:], uncompressed_size=size) == data


def test_native_gets_block_info_and_a_byte_per_column() -> None:
    """A client that names its revision finds each block in the shape of that revision."""
    block = b"\x02\x02" + b"\x01s\x06String" + b"\x01a\x02bc" + b"\x01n\x06UInt16" + b"\x01\0\x02\0"
    info = b"\x01\0\x02\xff\xff\xff\xff\0"
    there = b"\x02\x02" + b"\x01s\x06String\0" + b"\x01a\x02bc" + b"\x01n\x06UInt16\0" + b"\x01\0\x02\0"
    assert at_revision(block * 2) == (info + there) * 2
    array = b"\x01\x02\x01a\x17Array(Nullable(String))" + struct.pack("<QQ", 1, 3) + b"\0\1\0" + b"\x01x\0\x02yz"
    assert at_revision(array)[8:] == array.replace(b"(String))", b"(String))\0")
    for refused in ("Dynamic", "AggregateFunction(sum, UInt8)", "Array(" * 40 + "UInt8" + ")" * 40, "no type"):
        with pytest.raises(EngineError, match="cannot be sent as Native"):
            at_revision(
                b"\x01\x01\x01l" + bytes((len(refused) & 0x7F | 0x80, len(refused) >> 7)) + refused.encode() + bytes(40)
            )
