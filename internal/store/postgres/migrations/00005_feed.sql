-- +goose Up

-- The store's lock, as a change takes it: see the migration to version 3.
SELECT pg_advisory_xact_lock(112568701378926);

-- A process of an earlier version, whose commits would be missing in the feed, can begin no batch and no change: see the
-- migration to version 3.
ALTER TABLE state RENAME COLUMN catalogue_in_force TO catalogue_current;

-- Commits that are not in the feed yet. Ids are in the order of the locks that batches hold, not in that in which rows become
-- visible; that of a batch that was rolled back is missing.
CREATE TABLE feed_new (
  id   bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
  now  bigint NOT NULL, -- Unix milliseconds
  body bytea  NOT NULL  -- the steps
);

-- The feed. Rows are added at its end, without gaps, and removed at its beginning.
CREATE TABLE feed (
  seq    bigint PRIMARY KEY,
  now    bigint NOT NULL,
  latest bigint NOT NULL, -- the latest now up to here
  body   bytea  NOT NULL
);
CREATE INDEX feed_latest ON feed (latest, seq);

-- One row: where the feed begins and ends.
CREATE TABLE feed_state (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  first   bigint NOT NULL DEFAULT 1, -- that is kept, or would be
  last    bigint NOT NULL DEFAULT 0,
  latest  bigint NOT NULL DEFAULT 0,
  history uuid   NOT NULL DEFAULT gen_random_uuid() -- places of another one are refused
) WITH (fillfactor = 50);
INSERT INTO feed_state DEFAULT VALUES;
