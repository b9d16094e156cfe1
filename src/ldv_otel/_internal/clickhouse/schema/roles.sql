-- Who may do what, on a server. Give a role to a user with `GRANT ldv_auditor TO ...`; each statement can be repeated.
-- Nobody may change a Logregel, and only ldv_beheer may remove one (LDV-L3).

-- Services: write, and see what of their own arrived. They cannot read what is recorded, nor about whom. Manifests show
-- whether the Logboek was sealed before, without salts: how many records of which activity a batch has.
CREATE ROLE IF NOT EXISTS ldv_writer ON_CLUSTER;
GRANT ON_CLUSTER INSERT, SELECT(trace_id, span_id, start_time, writer_id, seq, manifest) ON DATABASE.logregel TO ldv_writer;
GRANT ON_CLUSTER INSERT, SELECT(trace_id, span_id, start_time, writer_id, seq, manifest) ON DATABASE.logregel_local TO ldv_writer;
GRANT ON_CLUSTER SELECT(manifest) ON DATABASE.ldv_manifest TO ldv_writer;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_schema TO ldv_writer;
GRANT ON_CLUSTER INSERT ON DATABASE.collector_span TO ldv_writer; -- a Collector, where there is one

-- Auditors and privacy officers: read everything.
CREATE ROLE IF NOT EXISTS ldv_auditor ON_CLUSTER;
GRANT ON_CLUSTER SELECT ON DATABASE.* TO ldv_auditor;
GRANT ON_CLUSTER INSERT ON DATABASE.ldv_verification TO ldv_auditor; -- that they checked, and what came out

-- Who shows data subjects what was done with their data: nothing confidential, nothing past its term.
CREATE ROLE IF NOT EXISTS ldv_inzage ON_CLUSTER;
GRANT ON_CLUSTER SELECT ON DATABASE.logregel TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregel_local TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregel_shown TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels_van TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels_trace TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels_activiteit TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels_aanroeper TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.logregels_aangeroepen TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.technical_span TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.technical_above TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_register TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.verwerkingsactiviteiten TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.verwerkingsactiviteit_versies TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_term TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_subject_link TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_manifest TO ldv_inzage; -- these three for proofs
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_removal_note TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_checkpoint TO ldv_inzage;
GRANT ON_CLUSTER SELECT ON DATABASE.ldv_schema TO ldv_inzage;

-- Management: make the tables, bring in the Register, link a person's numbers, remove what is past its term.
CREATE ROLE IF NOT EXISTS ldv_beheer ON_CLUSTER;
GRANT ON_CLUSTER SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER COLUMN, ALTER INDEX,
    ALTER PROJECTION, ALTER SETTINGS, OPTIMIZE ON DATABASE.* TO ldv_beheer;
GRANT ON_CLUSTER ALTER DELETE ON DATABASE.logregel TO ldv_beheer;
GRANT ON_CLUSTER ALTER DELETE ON DATABASE.ldv_manifest TO ldv_beheer; -- to destroy salts
GRANT ON_CLUSTER ALTER DELETE ON DATABASE.logregel_local TO ldv_beheer;
GRANT ON_CLUSTER SELECT ON system.parts TO ldv_beheer;
GRANT ON_CLUSTER SELECT ON system.mutations TO ldv_beheer;

-- Policies of one user add up, so who has ldv_inzage and ldv_auditor sees everything.
CREATE ROW POLICY OR REPLACE ldv_inzage ON_CLUSTER ON DATABASE.logregel FOR SELECT
USING attributes['ldv.confidential'] = '' AND attributes['ldv.version_of'] = '' -- of what was put right, `ldv serve` shows the last
AND processing_activity_id NOT IN
(
    -- Of an activity with versions all records, also when only one version is confidential.
    SELECT arrayJoin(arrayMap(
        a -> splitByChar('\n', a)[1], arrayFilter((a, c) -> c, argMax(activities, applied), argMax(confidential, applied))))
    FROM DATABASE.ldv_term
)
AND NOT arrayExists(
    (a, m, d) -> a = if(
        has((SELECT argMax(versions, applied) FROM DATABASE.ldv_term), processing_activity_id),
        concat(processing_activity_id, '\n', toString(arrayMax(
            (v, f) -> if(v = processing_activity_id AND f <= toUnixTimestamp64Milli(start_time), f, 0),
            (SELECT argMax(versions, applied) FROM DATABASE.ldv_term),
            (SELECT argMax(version_from, applied) FROM DATABASE.ldv_term)))),
        toString(processing_activity_id))
        AND m + d > 0
        AND start_time + toIntervalMillisecond(duration_ms) < subtractDays(subtractMonths(now64(3, 'UTC'), m), d),
    (SELECT argMax(activities, applied) FROM DATABASE.ldv_term),
    (SELECT argMax(months, applied) FROM DATABASE.ldv_term),
    (SELECT argMax(days, applied) FROM DATABASE.ldv_term))
TO ldv_inzage;
CREATE ROW POLICY OR REPLACE ldv_alles ON_CLUSTER ON DATABASE.logregel FOR SELECT
USING 1 TO ldv_writer, ldv_auditor, ldv_beheer;
