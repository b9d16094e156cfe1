from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import lz4.block  # type: ignore[import-untyped]  # no stubs
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from ldv_otel._internal.clickhouse.embedded.body import RequestBody
from ldv_otel._internal.clickhouse.embedded.framing import checksum, unframed
from tests.support.logboek import AUTHORISED, DATABASE, SECRET, LogboekProcess, ask

MIB = 1 << 20
_numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """One server for the tests that leave it running."""
    with LogboekProcess(tmp_path_factory.mktemp("embedded") / "logboek") as process:
        yield process


def connect(server: LogboekProcess, **options: Any) -> Client:
    """Open the real driver on it."""
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=server.port,
        username="default",
        password=SECRET,
        database=DATABASE,
        autogenerate_session_id=False,
        **options,
    )


@pytest.fixture
def client(server: LogboekProcess) -> Iterator[Client]:
    """The real driver."""
    opened = connect(server)
    yield opened
    opened.close()


@pytest.fixture
def table(client: Client) -> str:
    """An empty table with deduplication."""
    name = f"t{next(_numbers)}"
    client.command(
        f"CREATE TABLE {name} (id UInt64, text String, at DateTime64(3) DEFAULT '2026-01-01 00:00:00') "
        "ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


def row(number: int, text: bytes) -> bytes:
    """A row of (id, text) as RowBinary."""
    assert len(text) < 128
    return struct.pack("<Q", number) + bytes([len(text)]) + text


# --- through the driver


@pytest.mark.parametrize("compress", ["", "lz4", "zstd", "gzip"])
@pytest.mark.parametrize("rows", [3, 200_000])
def test_what_the_driver_inserts_is_what_it_reads(server: LogboekProcess, table: str, rows: int, compress: str) -> None:
    """Columns of any length come back as they went in, compressed or not."""
    with connect(server, compress=compress or False) as client:
        numbers, texts = list(range(rows)), [f"regel\n\n{number}; 'ë" for number in range(rows)]
        moments = [datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)] * rows
        summary = client.insert(
            table,
            [numbers, texts, moments],
            column_names=["id", "text", "at"],
            column_oriented=True,
            settings={"async_insert": 0, "insert_deduplicate": 1},
        )
        assert summary.written_rows == rows
        result = client.query(f"SELECT * FROM {table} ORDER BY id", column_oriented=True)
        assert [list(column) for column in result.result_columns[:2]] == [numbers, texts]
        assert {moment.isoformat() for moment in result.result_columns[2]} == {"2026-01-02T03:04:05.678000"}
        assert int(result.summary["read_rows"]) == rows


def test_parameters_arrive_as_they_were_meant(client: Client) -> None:
    """Parameters are bound by the engine, so no text in them becomes SQL."""
    hostile = "x'; DROP TABLE t; -- \\ \t\n {y:String} `\""
    given = {"s": hostile, "l": [hostile, ""], "n": None, "d": datetime(2026, 5, 6, tzinfo=UTC), "u": 2**64 - 1}
    sql = "SELECT {s:String}, {l:Array(String)}, {n:Nullable(UInt8)}, {d:DateTime('UTC')}, {u:UInt64}"
    (got,) = client.query(sql, parameters=given).result_rows
    assert tuple(got) == (hostile, [hostile, ""], None, datetime(2026, 5, 6), 2**64 - 1)  # UTC


def test_the_driver_may_send_its_query_as_a_form(server: LogboekProcess) -> None:
    """Long parameters travel in a multipart form, and mean the same there."""
    with connect(server, form_encode_query_params=True) as client:
        long = "x" * 300_000 + "ë\r\n--'"
        assert client.query("SELECT {s:String}", parameters={"s": long}).result_rows == [(long,)]
    got = ask(
        server,
        urlencode({"query": "SELECT {s:String}", "param_s": "a&b\\tc"}).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert got.content == b"a&b\\tc\n"
    plain = ask(server, b"SELECT 1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert plain.content == b"1\n"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM nowhere", (60, "UNKNOWN_TABLE", 404)),
        ("SELECT * FROM nowhere.t", (81, "UNKNOWN_DATABASE", 404)),
        ("SELECT nothing", (47, "UNKNOWN_IDENTIFIER", 404)),
        ("SELEC 1", (62, "SYNTAX_ERROR", 400)),
        ("SELECT 1 FORMAT Nope", (73, "UNKNOWN_FORMAT", 404)),
        ("SELECT throwIf(1)", (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500)),
        ("SELECT 1; SELECT 2", (62, "SYNTAX_ERROR", 400)),
        ("SELECT 1 INTO OUTFILE '/etc/outfile'", (358, "INTO_OUTFILE_NOT_ALLOWED", 500)),
        ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString", (78, "UNKNOWN_TYPE_OF_QUERY", 404)),
        ("SYSTEM SHUTDOWN", (497, "ACCESS_DENIED", 403)),
    ],
)
def test_errors_keep_their_code_name_and_status(
    server: LogboekProcess, client: Client, sql: str, said: tuple[int, str, int]
) -> None:
    """An error says the same through the driver and over plain HTTP as a server's would."""
    code, name, status = said
    with pytest.raises(DatabaseError) as failed:
        client.command(sql)
    assert (failed.value.code, failed.value.name) == (code, name)
    got = ask(server, sql.encode())
    assert (got.status, got.code) == (status, code)
    assert got.content.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert got.content.count(b"DB::Exception") == 1
    assert got.content.endswith(f"({name}) (version {client.server_version})\n".encode())


def test_a_deduplication_token_holds_over_the_server(client: Client, table: str) -> None:
    """A batch sent twice under one token is stored once; another token stores it again."""
    for token in ("a", "a", "b"):
        client.insert(table, [[1, "x"]], column_names=["id", "text"], settings={"insert_deduplication_token": token})
    assert client.command(f"SELECT count() FROM {table}") == 2


def test_a_million_rows_are_streamed(client: Client) -> None:
    """A long result arrives whole, block by block."""
    total = blocks = 0
    with client.query_column_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as stream:
        for block in stream:
            total += sum(block[0])
            blocks += 1
    assert total == sum(range(1_000_000))
    assert blocks > 3


def test_streaming_needs_no_memory_for_the_whole(server: LogboekProcess) -> None:
    """What a client reads slowly is not kept waiting in the server's memory."""
    ask(server, b"SELECT sum(number) FROM numbers(10000000)")
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before = _peak_bytes(server.pid)
    got = ask(server, b"SELECT number, number FROM numbers(20000000) FORMAT RowBinary")
    assert len(got.content) == 20_000_000 * 16
    assert _peak_bytes(server.pid) - before < 150 * MIB


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


LATE = "SELECT number, throwIf(number = 3000000, 'too late') FROM numbers(10000000)"


def test_an_error_in_mid_stream_reaches_the_driver(client: Client) -> None:
    """A result that breaks off is a failure with its code, never a shorter result."""
    with pytest.raises(StreamFailureError) as failed, client.query_row_block_stream(LATE) as stream:
        for _ in stream:
            pass
    assert failed.value.code == 395


def test_an_error_in_mid_stream_breaks_the_http_answer(server: LogboekProcess) -> None:
    """A client that knows nothing of ClickHouse sees a broken answer too; one that does finds the framed error."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/", body=f"{LATE} FORMAT RowBinary", headers=AUTHORISED)
    answer = connection.getresponse()
    tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
    with pytest.raises(http.client.IncompleteRead) as broken:
        answer.read()
    connection.close()
    frame = broken.value.partial.rpartition(b"\r\n__exception__\r\n" + tag + b"\r\n")[2]
    text, _, rest = frame.partition(b"\n")
    assert text.startswith(b"Code: 395. DB::Exception: too late")
    assert rest == f"{len(text) + 1} ".encode() + tag + b"\r\n__exception__\r\n"
    waited = ask(server, LATE.encode(), wait_end_of_query="1")
    assert (waited.status, waited.code) == (500, 395)
    assert waited.content.startswith(b"Code: 395")


def test_a_client_that_leaves_ends_its_query(server: LogboekProcess) -> None:
    """An endless SELECT ends with its reader."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        sql = b"SELECT number FROM system.numbers SETTINGS log_comment = 'endless'"
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: {SECRET}\r\n"
        head += f"Content-Length: {len(sql)}\r\n\r\n"
        connection.sendall(head.encode() + sql)
        assert connection.recv(4096)
    running = b"SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'endless'"
    for _ in range(100):
        if ask(server, running).content == b"0\n":
            break
    else:
        pytest.fail("the query still runs")


def test_two_clients_work_side_by_side(server: LogboekProcess, table: str) -> None:
    """Inserts and queries of several clients do not disturb one another."""
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            with connect(server) as client:
                for number in range(first, first + 2000, 100):
                    rows = [[number + step, "x"] for step in range(100)]
                    client.insert(table, rows, column_names=["id", "text"])
                    got = client.query(f"SELECT count() FROM {table} WHERE id BETWEEN {first} AND {number + 99}")
                    assert got.result_rows == [(number + 100 - first,)]
        except BaseException as error:  # noqa: BLE001  (handed to the test's own thread)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ask(server, f"SELECT count(), uniqExact(id) FROM {table}".encode()).content == b"6000\t6000\n"


# --- data


TRAPS = [row(1, b"\n\n"), row(0x0A0A, b";"), row(3, b"\n;\nDROP TABLE t;\n"), row(4, b"\0' FORMAT CSV\n"), row(5, b"")]


@pytest.mark.parametrize("where", ["body", "url"])
def test_binary_data_is_stored_to_its_last_byte(server: LogboekProcess, table: str, where: str) -> None:
    """No byte of an INSERT's data is read as SQL; chDB alone ends inline data at an empty line, without an error."""
    sql = f"INSERT INTO {table} (id, text) FORMAT RowBinary"
    data = b"".join(TRAPS) + b"".join(row(number, b"x") for number in range(10, 3000))
    got = ask(server, data, query=sql) if where == "url" else ask(server, sql.encode() + b"\n" + data)
    assert (got.status, got.content) == (200, b"")
    assert json.loads(got.headers["X-ClickHouse-Summary"])["written_rows"] == "2995"
    found = ask(server, f"SELECT id, text FROM {table} WHERE id != 2570 ORDER BY id FORMAT RowBinary".encode())
    kept = [trap for trap in TRAPS if trap != row(0x0A0A, b";")]
    assert found.content == b"".join(kept) + b"".join(row(n, b"x") for n in range(10, 3000) if n != 0x0A0A)
    assert ask(server, f"SELECT text FROM {table} WHERE id = 2570 ORDER BY text".encode()).content == b";\nx\n"


@pytest.mark.parametrize(
    ("clause", "data", "rows"),
    [
        ("FORMAT CSV", b'1,"a\n\nb"\n2,c\n', b"1\ta\\n\\nb\n2\tc\n"),
        ("FORMAT JSONEachRow", b'{"id":1,"text":"a"}\n\n{"text":"b","id":2}', b"1\ta\n2\tb\n"),
        ("FORMAT TSV", b"1\ta\\nb\n", b"1\ta\\nb\n"),
        ("SETTINGS max_threads = 1 FORMAT Values", b"(1, 'a;'), (2, 'b\n\nB');", b"1\ta;\n2\tb\\n\\nB\n"),
        ("VALUES", b"(1, 'a\n\nb'), (2, DEFAULT)", b"1\ta\\n\\nb\n2\t\n"),
        ("VALUES (1, 'a'),", b"(2, 'b')", b"1\ta\n2\tb\n"),
        ("FORMAT CSV\n1,a", b"2,b\n", b"1\ta\n2\tb\n"),
        ("SELECT 1, 'a'", b"", b"1\ta\n"),
        ("FORMAT CSV", b"", b""),
    ],
)
def test_data_may_come_in_any_format_and_in_two_parts(
    server: LogboekProcess, table: str, clause: str, data: bytes, rows: bytes
) -> None:
    """The statement of the URL and the body make one text, as on a server."""
    got = ask(server, data, query=f"INSERT INTO {table} (id, text) {clause}")
    assert (got.status, got.content) == (200, b"")
    assert "X-ClickHouse-Format" not in got.headers
    assert ask(server, f"SELECT id, text FROM {table} ORDER BY id".encode()).content == rows


def test_one_batch_is_one_block(server: LogboekProcess, client: Client) -> None:
    """A batch of any sensible size becomes one part, on which its token and its atomicity rest."""
    client.command("CREATE TABLE parts (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
    data = b"".join(row(number, b"x" * 100) for number in range(50_000))
    assert ask(server, data, query="INSERT INTO parts FORMAT RowBinary").status == 200
    assert client.command("SELECT groupArray(rows)::String FROM system.parts WHERE table = 'parts'") == "[50000]"


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("(id UInt64, CONSTRAINT c CHECK id != 7) ENGINE = MergeTree ORDER BY id", 469),
        ("(id UInt64) ENGINE = MergeTree ORDER BY id PARTITION BY id", 252),
    ],
)
def test_rows_that_the_table_refuses_are_an_error(
    server: LogboekProcess, client: Client, definition: str, code: int
) -> None:
    """An INSERT that stored nothing is never a success; chDB's own way to stream inserts says it is."""
    name = f"t{next(_numbers)}"
    client.command(f"CREATE TABLE {name} {definition}")
    got = ask(server, b"1\n7\n", query=f"INSERT INTO {name} FORMAT CSV", max_partitions_per_insert_block="1")
    assert got.code == code
    assert client.command(f"SELECT count() FROM {name}") == 0


def test_an_error_in_a_view_behind_the_table_is_an_error(server: LogboekProcess, client: Client) -> None:
    """What fails on its way through a materialised view was not stored, and the sender hears it."""
    client.command("CREATE TABLE landing (id UInt64) ENGINE = Null")
    client.command("CREATE TABLE landed (id UInt64) ENGINE = MergeTree ORDER BY id")
    client.command("CREATE MATERIALIZED VIEW v TO landed AS SELECT id + throwIf(id = 7) AS id FROM landing")
    assert ask(server, b"1\n7\n", query="INSERT INTO landing FORMAT CSV").code == 395
    assert ask(server, b"1\n2\n", query="INSERT INTO landing FORMAT CSV").status == 200
    assert client.command("SELECT count() FROM landed") == 2


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (b"not lz4", {"headers": {"Content-Encoding": "lz4"}}, 271),
        (b"not frames", {"decompress": "1"}, 271),
        (b"x", {"headers": {"Content-Encoding": "br"}}, 48),
        (row(1, b"x")[:-1], {}, 33),
        (b"--b\r\n", {"headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 36),
        (b"--b\r\n", {"headers": {"Content-Type": "multipart/form-data"}}, 36),
        (
            b'--b\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--b--\r\n',
            {"headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            48,
        ),
    ],
)
def test_a_malformed_body_stores_nothing(
    server: LogboekProcess, table: str, data: bytes, options: dict[str, Any], code: int
) -> None:
    """A body that is not what it says is refused whole."""
    got = ask(server, data, query=f"INSERT INTO {table} (id, text) FORMAT RowBinary", **options)
    assert got.code == code
    assert got.status >= 400
    assert ask(server, f"SELECT count() FROM {table}".encode()).content == b"0\n"


def test_half_a_body_stores_nothing(server: LogboekProcess, table: str) -> None:
    """A connection that is cut within an INSERT leaves nothing behind."""
    sql = f"INSERT INTO {table} (id, text) FORMAT RowBinary\n".encode()
    for framing in ("Transfer-Encoding: chunked", "Content-Length: 1000"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            key = f"X-ClickHouse-Key: {SECRET}"
            connection.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\n{key}\r\n{framing}\r\n\r\n".encode())
            part = sql + row(1, b"x")
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if "chunked" in framing else part)
    assert ask(server, f"SELECT count() FROM {table}".encode()).content == b"0\n"


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(server: LogboekProcess) -> None:
    """Nobody fills the memory of this process with one request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: {SECRET}\r\n"
        head += "Content-Length: 2000000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("compress", ["0", "1"])
def test_frames_of_other_drivers_are_read_and_written(server: LogboekProcess, table: str, compress: str) -> None:
    """ClickHouse's own compressed frames work in both directions, as clickhouse-go sends and expects them."""
    data = b"".join(row(number, b"x" * 50) for number in range(1000))
    packed = lz4.block.compress(data, store_size=False)
    frame = bytes(16) + struct.pack("<BII", 0x82, 9 + len(packed), len(data)) + packed
    sql = f"INSERT INTO {table} (id, text) FORMAT RowBinary"
    got = ask(server, frame, query=sql, decompress="1", compress=compress)
    assert (got.status, got.content) == (200, b"")
    for wait in ("0", "1"):
        select = f"SELECT id, text FROM {table} ORDER BY id FORMAT RowBinary".encode()
        got = ask(server, select, compress=compress, wait_end_of_query=wait)
        assert (_unframed(got.content) if compress == "1" else got.content) == data


def _unframed(content: bytes) -> bytes:
    with RequestBody() as packed:
        packed.write(content)
        with unframed(packed) as plain:
            return plain.read()


def test_frames_are_those_of_the_engines_own_files(server: LogboekProcess, client: Client) -> None:
    """Checksum and layout agree with what ClickHouse itself writes: its column files are made of the same frames."""
    client.command(
        "CREATE TABLE wide (id UInt64) ENGINE = MergeTree ORDER BY id "
        "SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0"
    )
    client.command("INSERT INTO wide SELECT number FROM numbers(1000)")
    (file,) = (server.path / "store").rglob("id.bin")
    content = file.read_bytes()
    _, size, _ = struct.unpack_from("<BII", content, 16)
    assert content[:16] == checksum(content[16 : 16 + size])


def test_a_client_that_names_its_revision_gets_native_in_that_revision(server: LogboekProcess) -> None:
    """The greeting of clickhouse-go over HTTP gets the block info and serialisation bytes that it reads."""
    sql = b"SELECT 'a' AS s, toUInt32(7) AS n"
    got = ask(server, sql, default_format="Native", client_protocol_version="54460", compress="1")
    block = b"\x02\x01" + b"\x01s\x06String\0\x01a" + b"\x01n\x06UInt32\0" + struct.pack("<I", 7)
    assert _unframed(got.content) == b"\x01\0\x02\xff\xff\xff\xff\0" + block
    refused = ask(server, b"SELECT sumState(1)", default_format="Native", client_protocol_version="54460")
    assert refused.code == 48


#: Columns of three rows, each of a kind of type that Native lays out in its own way.
LAID_OUT = [
    "toLowCardinality(toString(number))",
    "toLowCardinality(if(number = 1, NULL, 'x')::Nullable(String))",
    "arrayMap(x -> toLowCardinality(toString(x)), range(number))",
    "map(toLowCardinality('k'), number)",
    "map('k', map('l', [toString(number)]))",
    "CAST((number, 'a, ''b'')'), 'Tuple(`a b` UInt8, c String)')",
    "(toLowCardinality('x'), [toLowCardinality('y')], NULL::Nullable(UInt16))",
    "CAST([(number, 'x')], 'Nested(a UInt8, b String)')",
    "toDecimal32(number, 2)",
    "toDecimal64(number, 2)",
    "toDecimal128(number, 2)",
    "toDecimal256(number, 2)",
    "emptyArrayString()",
    "[[], ['x'], []]::Array(Array(LowCardinality(String)))",
    "CAST('(', 'Enum8(''('' = 1, ''a, b)'' = 2)')",
    "toIntervalDay(number)",
    "CAST(number, 'SimpleAggregateFunction(sum, UInt64)')",
    "toFixedString('ab', 3)",
    "toDateTime64('2026-01-01', 3, 'UTC')",
    "generateUUIDv4()",
]


@pytest.mark.parametrize("column", LAID_OUT)
def test_the_end_of_every_column_is_found(server: LogboekProcess, column: str) -> None:
    """Between other columns, in blocks of three rows and of none: only the info and a byte for each column are new."""
    for rows in (3, 0):
        sql = f"SELECT 'before' AS b, {column} AS c, 258::UInt16 AS a FROM numbers({rows}) ORDER BY a".encode()
        old = ask(server, sql, default_format="Native").content
        got = ask(server, sql, default_format="Native", client_protocol_version="54460")
        assert got.status == 200, got.content
        if not old:
            assert not got.content
            continue
        head = bytes((3, rows))
        before, after = b"\x01b\x06String", b"\x01a\x06UInt16"
        texts, numbers = b"\x06before" * rows, b"\x02\x01" * rows
        assert old.startswith(head + before + texts)
        assert old.endswith(after + numbers)
        middle = old[len(head + before + texts) : -len(after + numbers)]
        # Its name, and the length and text of its type.
        length = middle[2] if middle[2] < 128 else middle[2] - 128 + 128 * middle[3]
        data_at = 2 + (1 if middle[2] < 128 else 2) + length
        if "UUID" not in column:
            assert got.content == (
                b"\x01\0\x02\xff\xff\xff\xff\0" + head + before + b"\0" + texts
                + middle[:data_at] + b"\0" + middle[data_at:] + after + b"\0" + numbers
            )  # fmt: skip
        assert got.content.endswith(after + b"\0" + numbers)
