-- +goose Up

-- Tables that grow are distributed by bucket: see the page of package postgres. The comment behind their closing
-- bracket stands where PARTITION BY HASH (bucket) may stand; a test puts it there.

-- One row: what every batch looks at.
CREATE TABLE state (
  one       boolean PRIMARY KEY DEFAULT true CHECK (one),
  id        uuid   NOT NULL DEFAULT gen_random_uuid(), -- tells one store from another
  catalogue bigint NOT NULL DEFAULT 0,                 -- the catalogue's version
  changes   bigint NOT NULL DEFAULT 0,                 -- how often users, sessions or the catalogue were changed
  key_check bytea                                      -- proves that a process has the key that seals secrets
);
INSERT INTO state DEFAULT VALUES;

-- The last committed now. A row per slot, so that batches of different connections do not wait for each other.
CREATE TABLE clock (
  slot      smallint PRIMARY KEY,
  now       bigint NOT NULL, -- Unix milliseconds
  id_millis bigint NOT NULL  -- no id that this slot committed carries a later millisecond
) WITH (fillfactor = 50);

-- What batches take turns at: templates (kind 1) and activities (kind 2). A row is made once and stays.
CREATE TABLE turn (
  kind smallint NOT NULL,
  id   bigint   NOT NULL,
  PRIMARY KEY (kind, id)
) WITH (fillfactor = 50);

CREATE TABLE template_count (
  template bigint PRIMARY KEY,
  count    bigint NOT NULL, -- vouchers
  amount   bigint NOT NULL  -- fen
) WITH (fillfactor = 50);

CREATE TABLE template_day (
  template bigint  NOT NULL,
  day      integer NOT NULL,
  count    bigint  NOT NULL,
  amount   bigint  NOT NULL,
  PRIMARY KEY (template, day)
) WITH (fillfactor = 50);

CREATE TABLE entity (
  kind smallint NOT NULL,
  id   bigint   NOT NULL,
  body bytea    NOT NULL, -- JSON
  PRIMARY KEY (kind, id)
);

-- Every form that an entity has had, by the version of the catalogue that brought it.
CREATE TABLE entity_version (
  version bigint   NOT NULL,
  kind    smallint NOT NULL,
  id      bigint   NOT NULL,
  body    bytea    NOT NULL,
  PRIMARY KEY (version, kind, id)
);

-- What stands under a key, or under a certificate code. Bucket: of the key, or the code.
CREATE TABLE claim (
  bucket   smallint NOT NULL,
  hash     uuid     NOT NULL, -- 128 bits of SHA-256 over scope and key; the issuance holds them in full
  issuance bigint   NOT NULL,
  body     bytea,             -- the claim as it was bound, while its apply is a commit of its own; else null
  PRIMARY KEY (bucket, hash)
) /* distributed */;

-- Bucket of all that follows: the user's home bucket, which the user's id and those of its issuances carry.
CREATE TABLE issuance (
  bucket   smallint NOT NULL,
  id       bigint   NOT NULL,
  user_id  bigint   NOT NULL,
  template bigint   NOT NULL, -- of its first line; the others are in issuance_template
  version  integer  NOT NULL, -- counts how often it was written
  trace    uuid,              -- 128 bits of SHA-256 over the caller's trace id
  body     bytea    NOT NULL,
  PRIMARY KEY (bucket, user_id, id)
) /* distributed */;
-- Appended, as ids grow with time: of the indexes only the first is written at random places.
CREATE UNIQUE INDEX issuance_id ON issuance (id, bucket);
CREATE INDEX issuance_template_id ON issuance (template, id);
CREATE INDEX issuance_trace ON issuance (trace, id) WHERE trace IS NOT NULL;

CREATE TABLE issuance_template (
  bucket   smallint NOT NULL,
  template bigint   NOT NULL,
  id       bigint   NOT NULL,
  PRIMARY KEY (bucket, template, id)
) /* distributed */;
CREATE INDEX issuance_template_list ON issuance_template (template, id);

CREATE TABLE quota (
  bucket    smallint NOT NULL,
  user_id   bigint   NOT NULL,
  template  bigint   NOT NULL,
  total     bigint   NOT NULL, -- vouchers
  day       integer  NOT NULL, -- the latest day on which the user received any
  day_total bigint   NOT NULL,
  PRIMARY KEY (bucket, user_id, template)
) /* distributed */;

CREATE TABLE participation (
  bucket   smallint NOT NULL,
  user_id  bigint   NOT NULL,
  activity bigint   NOT NULL,
  total    bigint   NOT NULL, -- vouchers
  at       bigint   NOT NULL, -- Unix milliseconds of the last issue
  body     bytea    NOT NULL,
  PRIMARY KEY (bucket, user_id, activity)
) /* distributed */;

CREATE TABLE users (
  bucket smallint NOT NULL,
  id     bigint   NOT NULL,
  person text,
  body   bytea    NOT NULL,
  PRIMARY KEY (bucket, id)
) /* distributed */;
CREATE INDEX users_person ON users (person, id) WHERE person IS NOT NULL;

-- Whom an identifier, or the operator's handle, names. Bucket: of the identifier, so that for a user that came with
-- its first issue it is the home bucket.
CREATE TABLE link (
  bucket  smallint NOT NULL,
  hash    uuid     NOT NULL, -- 128 bits of SHA-256 over the identifier; the user's body holds it in full
  user_id bigint   NOT NULL,
  plain   boolean  NOT NULL, -- the identifier is all there is to the user
  PRIMARY KEY (bucket, hash)
) /* distributed */;

-- Bucket: of the digest.
CREATE TABLE session (
  bucket  smallint NOT NULL,
  digest  uuid     NOT NULL,
  expires bigint   NOT NULL, -- Unix milliseconds; 0: never
  body    bytea    NOT NULL, -- JSON
  PRIMARY KEY (bucket, digest)
) /* distributed */;
