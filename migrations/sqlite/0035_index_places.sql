-- +goose Up

-- The index knows where a message was said and by whom, each as one word: a search
-- that names a person looks among what is theirs first, however much others say.
-- Of notes there are too few for that.
DROP TABLE memory_index;
CREATE VIRTUAL TABLE memory_index USING fts5 (text, place, content = '', tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO memory_index (memory_index, rank) VALUES ('secure-delete', 1);
INSERT INTO memory_index (rowid, text, place) SELECT id, text, channel || ' ' || author FROM messages WHERE text <> '' ORDER BY id;
INSERT INTO memory_index (rowid, text) SELECT seq + 1099511627776, text FROM notes ORDER BY seq;

DROP TRIGGER messages_said;
DROP TRIGGER messages_changed;
DROP TRIGGER messages_removed;
-- +goose StatementBegin
CREATE TRIGGER messages_said AFTER INSERT ON messages WHEN new.text <> '' BEGIN
    INSERT INTO memory_index (rowid, text, place) VALUES (new.id, new.text, new.channel || ' ' || new.author);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER messages_changed AFTER UPDATE OF text ON messages WHEN new.text <> old.text BEGIN
    INSERT INTO memory_index (memory_index, rowid, text, place) SELECT 'delete', old.id, old.text, old.channel || ' ' || old.author WHERE old.text <> '';
    INSERT INTO memory_index (rowid, text, place) SELECT new.id, new.text, new.channel || ' ' || new.author WHERE new.text <> '';
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER messages_removed AFTER DELETE ON messages WHEN old.text <> '' BEGIN
    INSERT INTO memory_index (memory_index, rowid, text, place) VALUES ('delete', old.id, old.text, old.channel || ' ' || old.author);
END;
-- +goose StatementEnd
