package memory

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"deskmate/migrations"
)

// Embedder turns texts into vectors of one length, which are near each other when
// the texts mean the same.
type Embedder interface {
	Model() string
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

const (
	// compared is how many vectors in reach a search compares, the newest: what
	// bounds its time, for there is no index over them.
	compared = 20000
	// alike is how many of them are candidates beside those by words.
	alike = 30
	// alikeAtLeast is the least likeness that counts, from 0 to 1.
	alikeAtLeast = 0.3
	// embedPatience bounds the embedding of a query; after it, words alone answer.
	embedPatience = 1500 * time.Millisecond
	// likeness is the weight of a vector's score beside 1 for that of words, both
	// from 0 to 1.
	likeness = 0.6
	// embedChars is how much of a text is embedded.
	embedChars = 4000
)

// Embed has memory keep vectors beside its index. It is called before anything else.
func (m *Memory) Embed(e Embedder) { m.embedder = e }

// VectorProgress says how far the vectors of a workspace are filled in.
type VectorProgress struct {
	Model  string `json:"model"`
	Filled int    `json:"filled"`
	Total  int    `json:"total"`
}

// Vectors counts them.
func (m *Memory) Vectors(ctx context.Context, workspace, model string) (VectorProgress, error) {
	p := VectorProgress{Model: model}
	err := m.db.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM memory_vectors WHERE workspace = $1 AND model = $2),
		(SELECT COUNT(*) FROM messages WHERE workspace = $1 AND gone_at = 0 AND text <> '') + (SELECT COUNT(*) FROM notes WHERE workspace = $1)`,
		workspace, model).Scan(&p.Filled, &p.Total)
	if err != nil {
		return p, fmt.Errorf("count vectors: %w", err)
	}
	return p, nil
}

// unfilled is a text without a vector of the model.
type unfilled struct {
	row  int64
	text string
}

// FillVectors embeds at most batch texts that have no vector of the model yet, the
// newest first, and says how many it did: fewer than batch means that all have one.
// What it did stays done.
func (m *Memory) FillVectors(ctx context.Context, workspace string, batch int) (int, error) {
	model := m.embedder.Model()
	var todo []unfilled
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		for _, q := range []string{
			`SELECT n.seq + ` + noteRows + `, n.text FROM notes n WHERE n.workspace = $1
				AND NOT EXISTS (SELECT 1 FROM memory_vectors v WHERE v.row = n.seq + ` + noteRows + ` AND v.model = $2) ORDER BY n.seq DESC LIMIT $3`,
			`SELECT m.id, m.text FROM messages m WHERE m.workspace = $1 AND m.gone_at = 0 AND m.text <> ''
				AND NOT EXISTS (SELECT 1 FROM memory_vectors v WHERE v.row = m.id AND v.model = $2) ORDER BY m.id DESC LIMIT $3`,
		} {
			rows, err := tx.Query(q, workspace, model, batch-len(todo))
			if err != nil {
				return err
			}
			for rows.Next() {
				var u unfilled
				if err := rows.Scan(&u.row, &u.text); err != nil {
					rows.Close()
					return err
				}
				todo = append(todo, u)
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(todo) == 0 {
		return 0, wrap("look for texts without vector", err)
	}
	texts := make([]string, len(todo))
	for i, u := range todo {
		texts[i] = cut(unescape(u.text), embedChars)
	}
	vectors, err := m.embedder.Embed(ctx, texts)
	if err != nil {
		return 0, fmt.Errorf("embed %d texts: %w", len(texts), err)
	}
	if len(vectors) != len(todo) {
		return 0, fmt.Errorf("embed %d texts: got %d vectors", len(todo), len(vectors))
	}
	err = m.db.Write(ctx, func(tx *migrations.Tx) error {
		if err := eraseForReal(tx); err != nil {
			return err
		}
		for i, u := range todo {
			// Only where the text is still what was embedded.
			if _, err := tx.Exec(`INSERT INTO memory_vectors (row, workspace, model, vector)
				SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM messages WHERE id = $1 AND text = $5 AND gone_at = 0)
					OR EXISTS (SELECT 1 FROM notes WHERE seq + `+noteRows+` = $1 AND text = $5)
				ON CONFLICT (row) DO UPDATE SET model = excluded.model, vector = excluded.vector`,
				u.row, workspace, model, encode(vectors[i]), u.text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("keep vectors: %w", err)
	}
	return len(todo), nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// encode is v with length 1, as bytes.
func encode(v []float32) []byte {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	by := 1.0
	if sum > 0 {
		by = 1 / math.Sqrt(sum)
	}
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(float64(x)*by)))
	}
	return b
}

// dot is the product of two encoded vectors, from -1 to 1; 0 where their lengths differ.
func dot(a, b []byte) float64 {
	if len(a) != len(b) {
		return 0
	}
	sum := float32(0)
	for i := 0; i+4 <= len(a); i += 4 {
		sum += math.Float32frombits(binary.LittleEndian.Uint32(a[i:])) * math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
	}
	return float64(sum)
}

// meaning is the vector of a query, nil where there is none: then words alone
// answer, as they do without an embedder.
func (m *Memory) meaning(ctx context.Context, text string) []byte {
	if m.embedder == nil || len(words(text)) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, embedPatience)
	defer cancel()
	v, err := m.embedder.Embed(ctx, []string{cut(unescape(text), embedChars)})
	if err != nil || len(v) != 1 {
		return nil
	}
	return encode(v[0])
}

// likest gives the rows in reach whose vectors are nearest to the query's.
func likest(tx *migrations.Tx, p Place, model string, query []byte) (map[int64]float64, error) {
	rows, err := tx.Query(reachSQL+`SELECT v.row, v.vector FROM reach, memory_vectors v
			LEFT JOIN messages m ON m.id = v.row LEFT JOIN notes n ON n.seq = v.row - `+noteRows+`
			WHERE v.workspace = $1 AND v.model = $7 AND (`+messageInReach+` OR `+noteInReach+`)
			ORDER BY v.row DESC LIMIT $8`, p.args(tx.Now(), model, compared)...)
	if err != nil {
		return nil, fmt.Errorf("look up vectors: %w", err)
	}
	defer rows.Close()
	type near struct {
		row int64
		by  float64
	}
	var all []near
	for rows.Next() {
		var row int64
		var v []byte
		if err := rows.Scan(&row, &v); err != nil {
			return nil, fmt.Errorf("look up vectors: %w", err)
		}
		if by := dot(v, query); by >= alikeAtLeast {
			all = append(all, near{row, by})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up vectors: %w", err)
	}
	slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(b.row, a.row)) })
	best := map[int64]float64{}
	for _, one := range all[:min(alike, len(all))] {
		best[one.row] = one.by
	}
	return best, nil
}

// fuse orders hits by the weighted sum of the two scores, each from 0 to 1.
func fuse(hits []Hit, like map[Source]float64, limit int) []Hit {
	top := 0.0
	for _, h := range hits {
		top = max(top, h.Score)
	}
	for i := range hits {
		h := &hits[i]
		if top > 0 {
			h.Score /= top
		}
		h.Score += likeness * like[likeKey(*h)]
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	return hits[:min(len(hits), max(limit, 0))]
}

// likeKey tells hits apart: a note by its id, a message by its place.
func likeKey(h Hit) Source {
	if h.Kind == HitNote {
		return Source{"", h.ID}
	}
	return Source{h.Channel, h.TS}
}
