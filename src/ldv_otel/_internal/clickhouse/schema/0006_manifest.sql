-- What shows that nobody changed a Logregel (docs/tamper.md): the manifest of each batch, in the first row of the batch
-- only, so that it is stored with the rows or not at all. In the other rows these columns are empty, and take no room.
ALTER TABLE logregel ADD COLUMN IF NOT EXISTS manifest String CODEC(ZSTD(3));
-- 16 bytes for each activity in the manifest; zeros where they were destroyed because their rows are past their term.
ALTER TABLE logregel ADD COLUMN IF NOT EXISTS manifest_salts String CODEC(ZSTD(1));
