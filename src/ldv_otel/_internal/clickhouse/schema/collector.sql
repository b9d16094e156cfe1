-- What an OpenTelemetry Collector writes to (`ldv schema apply --collector`). Its ClickHouse exporter inserts into
-- collector_span, which keeps nothing: three views take from it what each span is, so one insert either reaches all of
-- them or is an error that the Collector hears of. Statements here can be repeated, and change what is there: an insert
-- must never meet a moment without a view.

CREATE TABLE IF NOT EXISTS collector_span
(
    Timestamp          DateTime64(9),
    TraceId            String,
    SpanId             String,
    ParentSpanId       String,
    TraceState         String,
    SpanName           String,
    SpanKind           LowCardinality(String),
    ServiceName        LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeName          String,
    ScopeVersion       String,
    SpanAttributes     Map(LowCardinality(String), String),
    Duration           UInt64, -- nanoseconds; a span that ends before it starts has some 1.8e19
    StatusCode         LowCardinality(String),
    StatusMessage      String,
    Events             Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links              Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)),

    -- What becomes of it: `actie`, `technical`, or why it is neither; beside this the views look at `ldv.refused`, with which
    -- the processor of collector-config refuses an Actie. The rule is that of ldv_otel._internal.record.actie.is_actie.
    fate               LowCardinality(String) MATERIALIZED multiIf(
        not match(TraceId, '^[0-9a-f]{32}$') OR TraceId = repeat('0', 32), 'trace id is not 32 hexadecimal digits, or all zeros',
        not match(SpanId, '^[0-9a-f]{16}$') OR SpanId = repeat('0', 16), 'span id is not 16 hexadecimal digits, or all zeros',
        not match(ParentSpanId, '^([0-9a-f]{16})?$'), 'parent span id is not 16 hexadecimal digits',
        arrayExists(key -> key IN ('dpl.core.processing_activity_id', 'dpl.core.data_subject_id')
                           OR startsWith(key, 'dpl.objects.') OR startsWith(key, 'dpl.object.'), mapKeys(SpanAttributes)), 'actie',
        arrayExists(key -> startsWith(key, 'dpl.'), mapKeys(SpanAttributes)), 'no processing activity, though it has dpl. attributes',
        'technical')
)
ENGINE = Null;

-- What does not fit, for people to look at and put right. A data subject is not kept here.
CREATE TABLE IF NOT EXISTS collector_refused
(
    received       DateTime64(3, 'UTC') DEFAULT now64(3),
    reason         LowCardinality(String),
    trace_id       String,
    span_id        String,
    parent_span_id String,
    name           String,
    start_time     DateTime64(3, 'UTC'),
    service        LowCardinality(String),
    attributes     Map(LowCardinality(String), String)
)
ENGINE = MergeTree
ORDER BY received;

CREATE MATERIALIZED VIEW IF NOT EXISTS collector_to_refused TO collector_refused AS
SELECT
    if(fate IN ('actie', 'technical'), SpanAttributes['ldv.refused'], fate) AS reason,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    SpanName AS name,
    Timestamp AS start_time,
    ServiceName AS service,
    mapFilter((key, value) -> startsWith(key, 'dpl.') AND not match(key, '(?i)^dpl[^a-z]*core[^a-z]*data[^a-z]*subject'),
              SpanAttributes) AS attributes
FROM collector_span
WHERE fate NOT IN ('actie', 'technical') OR SpanAttributes['ldv.refused'] != '';

CREATE MATERIALIZED VIEW IF NOT EXISTS collector_to_technical_span TO technical_span AS
SELECT
    toFixedString(unhex(TraceId), 16) AS trace_id,
    toFixedString(unhex(SpanId), 8) AS span_id,
    toFixedString(unhex(ParentSpanId), 8) AS parent_span_id,
    if(SpanKind IN ('Internal', 'Server', 'Client', 'Producer', 'Consumer'), SpanKind, 'Unspecified') AS kind
FROM collector_span
WHERE fate = 'technical' AND SpanAttributes['ldv.refused'] = '';

-- A record that this package's SDK sent says who wrote it and its place there (ldv.writer_id, ldv.seq), and comes out as
-- it went in. Any other is one of the writer `collector`, at a place that its trace gives, so that sending it twice gives
-- rows that are equal, and are shown once.
CREATE MATERIALIZED VIEW IF NOT EXISTS collector_to_logregel TO logregel AS
WITH
    SpanAttributes AS given,
    match(given['ldv.writer_id'], '^[0-9a-f]{16}$') AND match(given['ldv.seq'], '^[0-9]{1,19}$') AS of_sdk,
    given['dpl.core.data_subject_id'] AS subject,
    intDiv(toUnixTimestamp64Nano(Timestamp), 1000000) AS said_start_ms,
    least(greatest(said_start_ms, 0), 9214646400000) AS start_ms,
    Duration >= 9223372036854775808 AS backwards,
    intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(if(backwards, 0, Duration)), 1000000) AS said_end_ms,
    trimBoth(arrayFirst(named -> named != '', [given['dpl.core.processing_activity_id'],
        given['dpl.objects.processing_activity_id'], given['dpl.object.processing_activity_id']])) AS activity,
    trimBoth(given['dpl.core.parent_processing_activity_id']) AS parent_activity,
    '^[A-Za-z][A-Za-z0-9+.-]*:[^\\s<>"{}|\\\\^`\\x00-\\x20]+$' AS uri,
    -- The caller's names are also written without `dpl.core.` (LDV-N9).
    field -> if(given['dpl.core.' || field] != '', given['dpl.core.' || field], given[field]) AS caller,
    -- Zeros are no id: some write them where there is none.
    replaceRegexpOne(lower(replaceRegexpOne(trimBoth(caller('foreign_operation.trace_id')), '^0x', '')), '^0{32}$', '') AS foreign_trace,
    replaceRegexpOne(lower(replaceRegexpOne(trimBoth(caller('foreign_operation.span_id')), '^0x', '')), '^0{16}$', '') AS foreign_span,
    match(foreign_trace, '^[0-9a-f]{32}$') AS foreign_trace_fits,
    match(foreign_span, '^[0-9a-f]{16}$') AS foreign_span_fits,
    trimBoth(SpanName) AS trimmed_name,
    -- The last exception is the one that ended the Actie. Its message may quote anything, so only places are kept.
    arrayElement(arrayFilter((attributes, name) -> name = 'exception', Events.Attributes, Events.Name), -1) AS exception,
    arrayStringConcat(arrayMap(line -> replaceRegexpAll(line, '^[\\s|]+|\\s+$', ''), extractAll(exception['exception.stacktrace'],
        '(?m)^[\\s|]*(?:File "[^"\\n]*", line \\d+, in [\\w.<>]+|at [\\w.$<>/ ]+\\([\\w.$:/-]*\\))\\s*$')), '\n') AS places,
    map(
        'ldv.original.name', if(not of_sdk AND lengthUTF8(trimmed_name) > 1024, trimmed_name, ''),
        'ldv.original.processing_activity_id', if(lengthUTF8(activity) > 2048, activity, ''),
        'ldv.original.parent_processing_activity_id', if(lengthUTF8(parent_activity) > 2048, parent_activity, ''),
        'ldv.original.start_time', if(said_start_ms != start_ms, toString(said_start_ms), ''),
        'ldv.original.end_time', if(backwards, toString(intDiv(toInt64(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)), 1000000)),
                                    if(said_end_ms > 9214646400000, toString(said_end_ms), '')),
        'ldv.original.foreign_operation_trace_id', if(foreign_trace != '' AND not foreign_trace_fits, foreign_trace, ''),
        'ldv.original.foreign_operation_span_id', if(foreign_span != '' AND not foreign_span_fits, foreign_span, '')
    ) AS originals,
    -- The rule of ldv_otel._internal.record.resource_choice, for spans that came past neither the SDK nor the processor:
    -- these chose by their settings, and say what they left out, be it nothing.
    of_sdk OR mapContains(ResourceAttributes, 'ldv.left_out') AS resource_chosen,
    '(?i)^(process[._](command|title|owner|user|real_user|saved_user|environment|executable[._]path|working_directory)|dpl[^a-z]*core[^a-z]*data[^a-z]*subject)'
        AS never,
    key -> resource_chosen OR not match(key, never) AND (key = 'host.name' OR match(key, '^(service|deployment|process|cmdb|nen7513|dpl)[.]')
        AND not match(key, '(?i)owner|user|mail|passw|secret|token|credential|command')) AS kept,
    arraySort(arrayDistinct(arrayMap(
        key -> if(match(key, '^[A-Za-z0-9_./-]{1,96}$') AND length(extractAll(key, '[0-9]')) < 5, key, '(a name that is not shown)'),
        arrayFilter(key -> not kept(key) AND not startsWith(key, 'telemetry.'), mapKeys(ResourceAttributes))))) AS not_kept,
    if(resource_chosen, ResourceAttributes['ldv.left_out'], arrayStringConcat(
        arrayConcat(arraySlice(not_kept, 1, 100), if(length(not_kept) > 100, ['(more names)'], [])), ',')) AS left_out,
    arrayStringConcat(arraySort(arrayDistinct(arrayFilter(flag -> flag != '', arrayConcat(
        splitByChar(',', given['ldv.flags']),
        if(of_sdk, [], [
            if(trimmed_name = '', 'name_missing', ''),
            if(lengthUTF8(trimmed_name) > 1024, 'name_cut', ''),
            if(activity = '', 'activity_missing', ''),
            if(activity != '' AND not match(substringUTF8(activity, 1, 2048), uri), 'activity_not_uri', ''),
            if(parent_activity != '' AND not match(substringUTF8(parent_activity, 1, 2048), uri), 'activity_not_uri', ''),
            if(lengthUTF8(activity) > 2048 OR lengthUTF8(parent_activity) > 2048, 'activity_cut', ''),
            if(backwards, 'end_before_start', ''),
            if(said_start_ms != start_ms OR said_end_ms > 9214646400000, 'time_out_of_range', ''),
            if(mapContains(given, 'dpl.core.data_subject_id') AND given['dpl.core.data_subject_id_type'] = '',
               'subject_type_missing', ''),
            if(foreign_trace != '' AND not foreign_trace_fits OR foreign_span != '' AND not foreign_span_fits,
               'foreign_id_malformed', '')
        ]))))), ',') AS flags
SELECT
    toFixedString(unhex(TraceId), 16) AS trace_id,
    toFixedString(unhex(SpanId), 8) AS span_id,
    if(ParentSpanId = repeat('0', 16), '', unhex(ParentSpanId)) AS parent_span_id,
    fromUnixTimestamp64Milli(start_ms, 'UTC') AS start_time,
    toUInt64(if(backwards, 0, least(greatest(said_end_ms, start_ms), 9214646400000) - start_ms)) AS duration_ms,
    if(StatusCode IN ('Ok', 'Error'), StatusCode, 'Unset') AS status,
    if(of_sdk, SpanName, if(trimmed_name = '', '(naamloos)', substringUTF8(trimmed_name, 1, 1024))) AS name,
    if(of_sdk, given['dpl.core.processing_activity_id'], substringUTF8(activity, 1, 2048)) AS processing_activity_id,
    if(of_sdk, given['dpl.core.parent_processing_activity_id'], substringUTF8(parent_activity, 1, 2048))
        AS parent_processing_activity_id,
    toFixedString(unhex(substring(subject, 1, 32)), 16) AS data_subject_id,
    given['dpl.core.data_subject_id_type'] AS data_subject_id_type,
    if(subject = '' AND not of_sdk, '', given['ldv.key_id']) AS key_id,
    if(of_sdk, given['ldv.data_subject_sealed'], '') AS data_subject_sealed,
    toFixedString(if(foreign_trace_fits, unhex(foreign_trace), ''), 16) AS foreign_operation_trace_id,
    toFixedString(if(foreign_span_fits, unhex(foreign_span), ''), 8) AS foreign_operation_span_id,
    -- As the SDK, so that a foreign parent can be told from an own one (LDV-N10); the processor knows the configured address.
    if(caller('foreign_operation.processor') != '' OR of_sdk OR foreign_trace = '' AND foreign_span = '',
       caller('foreign_operation.processor'), 'https://onbekende-aanroeper.invalid/') AS foreign_operation_processor,
    arrayFirst(url -> url != '', [given['dpl.read.nextLogbookId'], given['dpl.read.externalReadAPI_id'],
        given['dpl.read.nextLogbook']]) AS external_read_api_id,
    arrayMap(id -> toFixedString(unhex(id), 8), if(of_sdk, extractAll(given['ldv.outbound_span_ids'], '[0-9a-f]{16}'), []))
        AS outbound_span_ids,
    mapConcat(
        mapFilter((key, value) -> startsWith(key, 'dpl.') AND key NOT IN (
            'dpl.core.processing_activity_id', 'dpl.core.parent_processing_activity_id', 'dpl.core.data_subject_id',
            'dpl.core.data_subject_id_type', 'dpl.core.foreign_operation.trace_id', 'dpl.core.foreign_operation.span_id',
            'dpl.core.foreign_operation.processor', 'dpl.read.nextLogbookId', 'dpl.read.externalReadAPI_id',
            'dpl.read.nextLogbook')
            OR of_sdk AND (startsWith(key, 'exception.') OR startsWith(key, 'ldv.') AND key NOT IN (
                'ldv.writer_id', 'ldv.seq', 'ldv.key_id', 'ldv.data_subject_sealed', 'ldv.outbound_span_ids', 'ldv.flags')),
            given),
        if(not of_sdk AND StatusCode = 'Error' AND exception['exception.type'] != '',
           map('exception.type', exception['exception.type']), map()),
        if(not of_sdk AND StatusCode = 'Error' AND places != '', map('exception.stacktrace', places), map()),
        if(of_sdk, map(), mapFilter((key, value) -> value != '', originals)),
        if(of_sdk OR given['ldv.json'] = '', map(), map('ldv.json', given['ldv.json'])),
        if(flags != '', map('ldv.flags', flags), map())) AS attributes,
    -- As the SDK writes it, so that the few different values stay few.
    replaceAll(toJSONString(mapSort(mapConcat(mapFilter((key, value) -> key != 'ldv.left_out' AND kept(key), ResourceAttributes),
        if(left_out != '', map('ldv.left_out', left_out), map())))), '\\/', '/') AS resource,
    if(of_sdk, given['ldv.writer_id'], 'collector') AS writer_id,
    if(of_sdk, toUInt64OrZero(given['ldv.seq']), bitShiftRight(cityHash64(TraceId), 1)) AS seq
FROM collector_span
WHERE fate = 'actie' AND given['ldv.refused'] = ''
  -- No rows and an error, rather than a person's number in the Logboek or a record without its person.
  AND throwIf(subject != '' AND not match(subject, if(given['ldv.key_id'] = '', '^[0-9a-f]{64}$', '^([0-9a-f]{32}|[0-9a-f]{64})$'))
              -- Also under another spelling of the name, in which no record would have it.
              OR arrayExists(key -> match(key, '(?i)^dpl[^a-z]*core[^a-z]*data[^a-z]*subject[^a-z]*id(entifier)?$')
                                    AND key != 'dpl.core.data_subject_id', mapKeys(given)),
              'A Collector sent a data subject that is no pseudonym, so nothing was stored. Its pipeline has to contain the processor `ldv` of collector-config.') = 0;
