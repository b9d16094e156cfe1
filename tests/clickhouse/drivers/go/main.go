// clickhouse-go over HTTP, as Grafana uses it, with each of its compressions.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var views = []string{
	"logregels", "schrijvers", "verwerkingsactiviteiten", "verwerkingsactiviteit_versies", "verwijderingen", "koppelingen",
}

// Every kind of type that a view or a question about one may have, and some beside each other.
const types = `SELECT toLowCardinality('x'), map('k', toDecimal64(1.5, 2)), (1, 'y')::Tuple(x UInt8, y String),
	[toLowCardinality(NULL::Nullable(String)), 'z'], toDecimal128(3.25, 5), [(1, map('a', [1.5]))],
	toDateTime64('2026-01-01 00:00:00.123', 3, 'UTC'), toFixedString('ab', 2), CAST('a', 'Enum8(\'a\' = 1)'),
	toUUID('0af76519-16cd-43dd-8448-eb211c80319c'), toIPv4('127.0.0.1'), [NULL, toUInt8(1)], toUInt16(515)`

func main() {
	results := map[string]any{}
	for name, method := range map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4,
		"zstd": clickhouse.CompressionZSTD, "gzip": clickhouse.CompressionGZIP,
	} {
		db := clickhouse.OpenDB(&clickhouse.Options{
			Addr:        []string{"127.0.0.1:" + os.Args[1]},
			Protocol:    clickhouse.HTTP,
			Auth:        clickhouse.Auth{Database: "ldv", Username: "default", Password: os.Args[2]},
			Compression: &clickhouse.Compression{Method: method},
		})
		results[name] = result(db, "of_go_"+name)
		db.Close()
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}

func result(db *sql.DB, table string) map[string]any {
	counts := map[string]int{}
	for _, view := range views {
		counts[view] = must(rows(db, "SELECT * FROM "+view))
	}
	found := map[string]any{
		"rows": counts, "large": must(rows(db, "SELECT number FROM numbers(300000)")), "types": must(rows(db, types)),
	}
	for name, query := range map[string]string{
		"unknown": "SELECT * FROM nothing", "midway": "SELECT throwIf(number = 900000) FROM numbers(1000000)",
		"temporary": "CREATE TEMPORARY TABLE x (a UInt8)",
	} {
		if _, err := rows(db, query); err != nil {
			found[name] = err.Error()
		}
	}
	must(db.Exec("CREATE TABLE " + table + " (a UInt64, b LowCardinality(String), c Map(String, String)) ENGINE = MergeTree ORDER BY a"))
	batch := must(db.Begin())
	insert := must(batch.Prepare("INSERT INTO " + table))
	for number := range 4 {
		must(insert.Exec(uint64(number), "\n\n", map[string]string{"a": "b"}))
	}
	if err := batch.Commit(); err != nil {
		panic(err)
	}
	var inserted uint64
	if err := db.QueryRow("SELECT count() FROM "+table+" WHERE a >= ? AND c['a'] = 'b'", 0).Scan(&inserted); err != nil {
		panic(err)
	}
	found["inserted"] = inserted
	return found
}

func rows(db *sql.DB, query string) (int, error) {
	result, err := db.Query(query)
	if err != nil {
		return 0, err
	}
	defer result.Close()
	columns, err := result.Columns()
	if err != nil {
		return 0, err
	}
	values, pointers := make([]any, len(columns)), make([]any, len(columns))
	for index := range values {
		pointers[index] = &values[index]
	}
	count := 0
	for result.Next() {
		if err := result.Scan(pointers...); err != nil {
			return count, fmt.Errorf("row %d: %w", count, err)
		}
		count++
	}
	return count, result.Err()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
