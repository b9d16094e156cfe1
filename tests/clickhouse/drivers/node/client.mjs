// ClickHouse's own client for Node.js, plain and packed, with and without a session.

import { ClickHouseLogLevel, createClient } from '@clickhouse/client'

const [port, secret] = process.argv.slice(2)
const views = [
  'logregels', 'schrijvers', 'verwerkingsactiviteiten', 'verwerkingsactiviteit_versies', 'verwijderingen', 'koppelingen',
]

async function error(work) {
  try {
    await work()
    return 'no error'
  } catch (caught) {
    return `${caught.code} ${caught.type}`
  }
}

// An error midway is a block at the end of the answer. The client reads its number only where the whole block comes in
// one read of the socket, which is the machine's to say; cut in two, it is still an error, but one without a number.
async function midway(work) {
  let found
  for (let attempt = 0; attempt < 10; attempt += 1) {
    found = await error(work)
    if (found === 'no error' || /^\d+ /.test(found)) break
  }
  return found
}

async function result(client, table) {
  const query = async (sql, format = 'JSONEachRow', query_params = {}) =>
    client.query({ query: sql, format, query_params })
  const streamed = async (sql) => {
    let count = 0
    for await (const rows of (await query(sql)).stream()) count += rows.length
    return count
  }
  const rows = {}
  for (const view of views) rows[view] = (await (await query(`SELECT * FROM ${view}`, 'JSON')).json()).data.length
  const formats = {}
  for (const format of ['CSVWithNames', 'JSONCompactEachRowWithNamesAndTypes', 'JSONCompact', 'Parquet']) {
    const answer = await client.exec({ query: `SELECT * FROM logregels FORMAT ${format}` })
    let size = 0
    for await (const part of answer.stream) size += part.length
    formats[format] = size > 0
  }
  const found = {
    ping: (await client.ping()).success,
    rows,
    formats,
    large: await streamed('SELECT number FROM numbers(300000)'),
    unknown: await error(() => streamed('SELECT * FROM nothing')),
    midway: await midway(() => streamed('SELECT throwIf(number = 900000) FROM numbers(1000000)')),
    temporary: await error(() => client.command({ query: 'CREATE TEMPORARY TABLE x (a UInt8)' })),
  }
  await client.command({ query: `CREATE TABLE ${table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a` })
  await client.insert({ table, values: [{ a: 1, b: '\n\n' }, { a: 2, b: "'" }], format: 'JSONEachRow' })
  const count = await query(`SELECT count() AS n FROM ${table} WHERE a >= {least:UInt64}`, 'JSONEachRow', { least: 2 })
  found.inserted = (await count.json())[0].n
  return found
}

const results = {}
for (const [name, compression] of Object.entries({ plain: {}, packed: { request: true, response: true } })) {
  for (const session of [undefined, 'a-session']) {
    const client = createClient({
      url: `http://127.0.0.1:${port}`, username: 'default', password: secret, database: 'ldv', compression,
      session_id: session, log: { level: ClickHouseLogLevel.OFF },
    })
    const table = `of_node_${name}${session ? '_session' : ''}`
    results[table] = await result(client, table)
    await client.close()
  }
}
console.log(JSON.stringify(results))
