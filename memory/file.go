package memory

import (
	"context"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskFiles is the kind of the tasks that read the files of messages; one for each
// workspace.
const TaskFiles = "files"

// Bounds of the text of files, in bytes.
const (
	MaxFile  = 200_000 // of one file that is read; a larger one is only named
	filePart = 1500    // of one part, which a search gives by itself
)

// File is a file of a message.
type File struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"` // media type
	Size int    `json:"size"` // bytes
	URL  string `json:"url"`  // where the agent can read it with its token; "" where it cannot
}

// textTypes and textEndings are what is read as text beside text/*.
var (
	textTypes   = setOf("application/json application/xml application/x-yaml application/yaml application/javascript application/x-javascript application/toml application/sql application/x-sh application/x-ndjson")
	textEndings = setOf(".md .markdown .txt .csv .tsv .json .jsonl .yaml .yml .toml .ini .log .go .py .js .ts .java .rb .rs .c .h .cpp .cs .sh .sql .html .css .xml .diff .patch .tf .proto")
)

// Readable reports whether a file is kept with its text: it is some kind of text,
// and not too long.
func (f File) Readable() bool {
	kind, _, _ := strings.Cut(strings.ToLower(f.Type), ";")
	isText := strings.HasPrefix(kind, "text/") || textTypes[strings.TrimSpace(kind)] || textEndings[strings.ToLower(path.Ext(f.Name))]
	return isText && f.URL != "" && f.Size > 0 && f.Size <= MaxFile
}

// FileOf is the id of the file that a part of memory is from, by its ts; "" for a
// message.
func FileOf(ts string) string {
	_, rest, _ := strings.Cut(ts, "/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// attach keeps the names of a message's files, and has those that can be read be
// read. Files that the message has no longer go with their text.
func (m *Memory) attach(tx *migrations.Tx, msg Message) error {
	there := map[string]bool{}
	for _, f := range msg.Files {
		there[f.ID] = true
	}
	rows, err := tx.Query(`SELECT file FROM message_files WHERE workspace = $1 AND channel = $2 AND ts = $3`, msg.Workspace, msg.Channel, msg.TS)
	if err != nil {
		return fmt.Errorf("look up files: %w", err)
	}
	known := map[string]bool{}
	if err := eachString(rows, func(id string) { known[id] = true }); err != nil {
		return fmt.Errorf("look up files: %w", err)
	}
	for id := range known {
		if !there[id] {
			if err := m.detach(tx, msg.Workspace, msg.Channel, msg.TS+"/"+id); err != nil {
				return err
			}
			if _, err := tx.Exec(`DELETE FROM message_files WHERE workspace = $1 AND channel = $2 AND ts = $3 AND file = $4`, msg.Workspace, msg.Channel, msg.TS, id); err != nil {
				return fmt.Errorf("forget file %s: %w", id, err)
			}
		}
	}
	wanted := false
	for _, f := range msg.Files {
		if known[f.ID] || f.ID == "" {
			continue
		}
		state := "named"
		if f.Readable() {
			state, wanted = "wanted", true
		}
		if _, err := tx.Exec(`INSERT INTO message_files (workspace, channel, ts, file, name, url, author, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			msg.Workspace, msg.Channel, msg.TS, f.ID, clean(f.Name), f.URL, msg.Author, state); err != nil {
			return fmt.Errorf("keep file %s: %w", f.ID, err)
		}
		if err := insertPart(tx, msg, f.ID, 0, "(file) "+clean(f.Name)); err != nil {
			return err
		}
	}
	if !wanted {
		return nil
	}
	return task.Wake(tx, task.Waking{Workspace: msg.Workspace, Kind: TaskFiles, Key: TaskFiles + ":" + msg.Workspace})
}

// insertPart keeps one part of a file's text.
func insertPart(tx *migrations.Tx, msg Message, file string, n int, text string) error {
	part := msg
	part.TS, part.Text, part.EditedTS = msg.TS+"/"+file, text, ""
	if n > 0 {
		part.TS += fmt.Sprintf("/%03d", n)
	}
	if part.Thread == "" && !isDirect(msg.Channel) {
		part.Thread = msg.TS
	}
	if err := insertMessage(tx, part, `DO UPDATE SET text = excluded.text WHERE messages.gone_at = 0`); err != nil {
		return fmt.Errorf("keep text of file %s: %w", file, err)
	}
	return nil
}

// detach erases what is kept under a ts with what follows it: the parts of one file,
// or with the ts of a message those of all its files. Under legal hold it is shown
// to nobody, and erased once the hold ends.
func (m *Memory) detach(tx *migrations.Tx, workspace, channel, ts string) error {
	held, err := isHeld(tx, workspace, scopeOf(channel))
	if err != nil {
		return err
	}
	set := `gone_at = $1, text = '', permalink = ''`
	if held {
		set = `gone_at = $1`
	}
	// '0' is the character after '/'.
	if _, err := tx.Exec(`UPDATE messages SET `+set+` WHERE workspace = $2 AND channel = $3 AND (ts = $4 OR ts > $4 || '/' AND ts < $4 || '0') AND instr(ts, '/') > 0 AND gone_at = 0`,
		migrations.Micros(tx.Now()), workspace, channel, ts); err != nil {
		return fmt.Errorf("erase files of %s: %w", ts, err)
	}
	return nil
}

// WantedFile is a file whose text is to be read.
type WantedFile struct {
	File
	Workspace, Channel, TS, Author string
}

// WantedFiles gives files whose text is to be read, of one message or with ts "" of
// any, at most limit.
func (m *Memory) WantedFiles(ctx context.Context, workspace, channel, ts string, limit int) ([]WantedFile, error) {
	rows, err := m.db.Query(ctx, `SELECT channel, ts, file, name, url, author FROM message_files
		WHERE workspace = $1 AND state = 'wanted' AND ($2 = '' OR channel = $2) AND ($3 = '' OR ts = $3) ORDER BY channel, ts LIMIT $4`, workspace, channel, ts, limit)
	if err != nil {
		return nil, fmt.Errorf("look for files to read: %w", err)
	}
	defer rows.Close()
	var all []WantedFile
	for rows.Next() {
		f := WantedFile{Workspace: workspace}
		if err := rows.Scan(&f.Channel, &f.TS, &f.ID, &f.Name, &f.URL, &f.Author); err != nil {
			return nil, fmt.Errorf("look for files to read: %w", err)
		}
		all = append(all, f)
	}
	return all, rows.Err()
}

// FileRead keeps the text of a file, in parts; what is no text, or with text "" could
// not be read, stays a name. A file that has gone meanwhile stays gone.
func (m *Memory) FileRead(tx *migrations.Tx, f WantedFile, text string) error {
	state := "read"
	if text == "" || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		state, text = "named", ""
	}
	var msg Message
	res, err := tx.Exec(`UPDATE message_files SET state = $1 WHERE workspace = $2 AND channel = $3 AND ts = $4 AND file = $5 AND state = 'wanted'`, state, f.Workspace, f.Channel, f.TS, f.ID)
	if err != nil {
		return fmt.Errorf("keep text of file %s: %w", f.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 || text == "" {
		return err
	}
	err = tx.QueryRow(`SELECT workspace, channel, thread, author, permalink FROM messages WHERE workspace = $1 AND channel = $2 AND ts = $3 AND gone_at = 0`,
		f.Workspace, f.Channel, f.TS).Scan(&msg.Workspace, &msg.Channel, &msg.Thread, &msg.Author, &msg.Permalink)
	if err != nil {
		return missing("look up the message of file "+f.ID, err)
	}
	msg.TS = f.TS
	for n, part := range parts(text) {
		if n == 0 {
			part = "(file) " + clean(f.Name) + "\n" + part
		}
		if err := insertPart(tx, msg, f.ID, n, part); err != nil {
			return err
		}
	}
	return nil
}

// parts cuts a text at the ends of lines, or of words where a line is too long.
func parts(text string) []string {
	var all []string
	for len(text) > filePart {
		at := strings.LastIndexByte(text[:filePart], '\n')
		if at < filePart/3 {
			at = strings.LastIndexByte(text[:filePart], ' ')
		}
		if at < filePart/3 {
			for at = filePart; !utf8.RuneStart(text[at]); at-- {
			}
		}
		all = append(all, text[:at])
		text = strings.TrimLeft(text[at:], "\n")
	}
	if strings.TrimSpace(text) != "" {
		all = append(all, text)
	}
	return all
}

// FileTexts gives what is kept of the files of a message in p's channel, for p:
// their names, and their text up to most bytes in all.
func (m *Memory) FileTexts(ctx context.Context, p Place, ts string, most int) (string, error) {
	var b strings.Builder
	rows, err := m.db.Query(ctx, reachSQL+`SELECT m.text FROM reach, messages m WHERE `+messageInReach+` AND m.channel = $2 AND m.ts > $7 || '/' AND m.ts < $7 || '0' ORDER BY m.ts`,
		p.args(m.db.Now(), ts)...)
	if err != nil {
		return "", fmt.Errorf("read files of %s: %w", ts, err)
	}
	if err := eachString(rows, func(text string) {
		if b.Len() < most {
			b.WriteString(text + "\n")
		}
	}); err != nil {
		return "", fmt.Errorf("read files of %s: %w", ts, err)
	}
	return cut(b.String(), most), nil
}
