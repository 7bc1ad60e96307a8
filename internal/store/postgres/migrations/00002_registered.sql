-- +goose Up

-- A user's body says whether the operator's directory names the user: byte 9 holds the flags of a user without a name.
-- One from before that is only an identifier (link.plain) counts as made by issuing, unless it surely was not: the commit
-- that makes a user issues to it, under an id of the same moment. All others were made by a catalogue file.
UPDATE users u SET body = set_byte(u.body, 9, 4)
FROM link l
WHERE l.plain AND u.id = l.user_id AND u.bucket = (l.user_id >> 13) & 1023
  AND NOT EXISTS (
    SELECT FROM issuance i
    WHERE i.bucket = u.bucket AND i.user_id = u.id AND (i.id >> 23) - (u.id >> 23) < 10000 -- ids count milliseconds
  );

-- What is only an identifier is a user that issuing made; the bodies of the others are read.
UPDATE link l SET plain = false
FROM users u
WHERE l.plain AND u.id = l.user_id AND u.bucket = (l.user_id >> 13) & 1023 AND get_byte(u.body, 9) = 4;

-- A process of an earlier version would take a registered user for a frozen one. With another name for the column its
-- statements fail instead.
ALTER TABLE link RENAME COLUMN plain TO bare;
