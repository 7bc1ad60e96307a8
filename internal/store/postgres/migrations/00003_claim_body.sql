-- +goose Up

-- The store's lock, as a change takes it: batches under way end first. All later ones, of whatever version, read the table
-- state after they got the lock, and so see the columns as they are below.
SELECT pg_advisory_xact_lock(112568701378926);

-- A process of an earlier version reads this column at the beginning of every batch, and every change. With another name
-- for it they fail before they decide anything, and /readyz of that process is 503.
-- It comes before the table claim, as in every transaction that uses both: a reader takes its snapshot from state.
ALTER TABLE state RENAME COLUMN catalogue TO catalogue_version;

-- The column was for claims that are committed before what they issue. No process could be started that wrote it.
ALTER TABLE claim DROP COLUMN body;
