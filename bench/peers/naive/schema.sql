CREATE TABLE template (
  id       bigint PRIMARY KEY,
  stock    bigint NOT NULL,
  per_user bigint NOT NULL,
  issued   bigint NOT NULL DEFAULT 0,
  CONSTRAINT within_stock CHECK (issued <= stock)
) WITH (fillfactor = 50); -- room on the page, so that a hot row is updated in place

-- Only the textbook's: who has a key, before there is a voucher.
CREATE TABLE claim (
  key text PRIMARY KEY
);

CREATE TABLE user_counter (
  template bigint NOT NULL,
  user_id  bigint NOT NULL,
  per_user bigint NOT NULL, -- the template's, for the constraint
  total    bigint NOT NULL,
  PRIMARY KEY (template, user_id),
  CONSTRAINT within_limit CHECK (total <= per_user)
) WITH (fillfactor = 80);

CREATE TABLE voucher (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key      text   NOT NULL,
  template bigint NOT NULL,
  user_id  bigint NOT NULL,
  at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT one_per_key UNIQUE (key)
);
