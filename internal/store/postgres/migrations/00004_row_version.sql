-- +goose Up

-- The store's lock, as a change takes it: see the migration to version 3.
SELECT pg_advisory_xact_lock(112568701378926);

-- A process of an earlier version, which counts no versions of rows, can begin no batch and no change: see the migration to
-- version 3.
ALTER TABLE state RENAME COLUMN catalogue_version TO catalogue_in_force;

-- The kinds of rows that the tables below hold, as numbers with their numbers of columns; '' is those below. Tables of further
-- kinds are made, and columns added, as package table describes them.
ALTER TABLE state ADD COLUMN kinds text NOT NULL DEFAULT '';

-- How often a row was written: an update names the version that it read.
ALTER TABLE quota ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE participation ADD COLUMN row_version bigint NOT NULL DEFAULT 1, DROP COLUMN total, DROP COLUMN at; -- body has both
ALTER TABLE template_count ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE template_day ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE entity ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE entity_version ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE session ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
