-- The view of the journal: indexes and rows to answer from. All of it can be made again from the journal.
--
-- Rows that would land at random places of a large index carry a generation (gen) first in their key: about a
-- million issuances share one. Writes then touch only the pages of the newest generation, however large the
-- store has grown, and the filters in memory say which of the older ones are worth asking.

-- One row: how far the view has come.
CREATE TABLE position (
  one       INTEGER PRIMARY KEY CHECK (one = 1),
  seq       INTEGER NOT NULL, -- the last journal record applied
  hash      BLOB    NOT NULL, -- the chain hash at that record
  now       INTEGER NOT NULL, -- the last committed now, Unix milliseconds
  id_millis INTEGER NOT NULL, -- no id carries a later millisecond
  catalogue INTEGER NOT NULL, -- the catalogue's version
  kinds     TEXT    NOT NULL  -- of rows that the program knew which wrote last: see table.Described
);
INSERT INTO position VALUES (1, 0, zeroblob(32), 0, 0, 0, '');

CREATE TABLE issuance (
  id   INTEGER PRIMARY KEY, -- appended: ids grow with time
  body BLOB NOT NULL        -- as in the journal
);

CREATE TABLE claim (
  gen  INTEGER NOT NULL,
  hash BLOB    NOT NULL, -- 16 bytes of SHA-256 over scope and key, or over a certificate code; the body holds them in full
  id   INTEGER NOT NULL, -- a key that was bound again has the newer issuance under the greater id
  PRIMARY KEY (gen, hash, id)
) WITHOUT ROWID;

-- A user's issuances and quotas in one index: each row is one issue, with the counters after it.
CREATE TABLE ledger (
  gen       INTEGER NOT NULL,
  user      INTEGER NOT NULL,
  template  INTEGER NOT NULL,
  at        INTEGER NOT NULL, -- place in the order of commits
  issuance  INTEGER NOT NULL, -- 0: the counters changed without one
  total     INTEGER NOT NULL, -- -1: listed alone, without counters
  day       INTEGER NOT NULL,
  day_total INTEGER NOT NULL,
  PRIMARY KEY (gen, user, template, at)
) WITHOUT ROWID;

-- The rows of kinds that grow with use, but for quotas: each is one commit that wrote the row, and the newest counts.
CREATE TABLE row_history (
  gen  INTEGER NOT NULL,
  kind INTEGER NOT NULL, -- the number of the kind
  key  BLOB    NOT NULL, -- in a form that has the order of the keys
  at   INTEGER NOT NULL, -- place in the order of commits
  body BLOB    NOT NULL, -- the other columns as in the journal; a number where they are large: the id in row_body
  PRIMARY KEY (gen, kind, key, at)
) WITHOUT ROWID;

-- What is large of the rows in row_history. Only what has to be in the order of the keys is at random places.
CREATE TABLE row_body (
  id   INTEGER PRIMARY KEY, -- appended: the row's place in the order of commits
  body BLOB NOT NULL
);

-- The rows of kinds that stay small, as they are now.
CREATE TABLE local_row (
  kind INTEGER NOT NULL,
  key  BLOB    NOT NULL,
  at   INTEGER NOT NULL,
  body BLOB    NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID;

-- Issuances by the trace id that their callers gave.
CREATE TABLE trace (
  gen  INTEGER NOT NULL,
  hash INTEGER NOT NULL, -- 64 bits of FNV-1a; the body holds the text
  id   INTEGER NOT NULL,
  PRIMARY KEY (gen, hash, id)
) WITHOUT ROWID;

-- The issuances of a template, packed: up to 500 ids of eight bytes in one row, ascending.
CREATE TABLE template_block (
  template INTEGER NOT NULL,
  last     INTEGER NOT NULL,
  first    INTEGER NOT NULL,
  at       INTEGER NOT NULL, -- the journal record with which its memtable ends: two blocks may begin and end alike
  ids      BLOB    NOT NULL,
  PRIMARY KEY (template, last, first, at)
) WITHOUT ROWID;

CREATE TABLE user (
  id     INTEGER PRIMARY KEY,
  name   TEXT, -- the operator's handle
  person TEXT,
  body   BLOB NOT NULL
);
CREATE UNIQUE INDEX user_name ON user (name) WHERE name IS NOT NULL;
CREATE INDEX user_person ON user (person) WHERE person IS NOT NULL;

CREATE TABLE link (
  hash  BLOB PRIMARY KEY, -- 16 bytes of SHA-256 over the identifier; the user's body holds it in full
  user  INTEGER NOT NULL,
  plain INTEGER NOT NULL, -- 1: the identifier is all there is to the user
  gen   INTEGER NOT NULL  -- whose filter of claims holds it as well
) WITHOUT ROWID;

CREATE TABLE generation (
  gen       INTEGER PRIMARY KEY,
  issuances INTEGER NOT NULL, -- or more, where they have many codes or lines
  seq       INTEGER NOT NULL, -- the journal record up to which the filters hold everything
  claims    BLOB,             -- filters (the first of claims and identifiers); null while the generation is being filled
  quotas    BLOB             -- of quotas and the rows in row_history
);
INSERT INTO generation VALUES (1, 0, 0, NULL, NULL);
