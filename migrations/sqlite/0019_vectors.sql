-- +goose Up

-- memory_vectors: what texts mean, as an embedding model has it. row is that of the
-- index: messages.id, or notes.seq + 2^40. A text that changes or goes takes its
-- vector with it.
CREATE TABLE memory_vectors (
    row       INTEGER PRIMARY KEY,
    workspace TEXT NOT NULL,
    model     TEXT NOT NULL,
    vector    BLOB NOT NULL                 -- float32, little endian, of length 1
);
CREATE INDEX memory_vectors_model ON memory_vectors (workspace, model, row);

-- +goose StatementBegin
CREATE TRIGGER messages_vector_changed AFTER UPDATE OF text ON messages WHEN new.text <> old.text BEGIN
    DELETE FROM memory_vectors WHERE row = old.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER messages_vector_removed AFTER DELETE ON messages BEGIN
    DELETE FROM memory_vectors WHERE row = old.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER notes_vector_changed AFTER UPDATE OF text ON notes WHEN new.text <> old.text BEGIN
    DELETE FROM memory_vectors WHERE row = old.seq + 1099511627776;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER notes_vector_removed AFTER DELETE ON notes BEGIN
    DELETE FROM memory_vectors WHERE row = old.seq + 1099511627776;
END;
-- +goose StatementEnd
