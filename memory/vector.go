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

// likes is how like the query the vectors in reach are, from -1 to 1, by row.
type likes struct {
	by      map[int64]float64
	nearest []int64 // those that are candidates beside those by words
	mean    float64
	spread  float64 // standard deviation
}

// likest compares the vectors in reach with the query's.
func likest(tx *migrations.Tx, p Place, model string, query []byte) (likes, error) {
	rows, err := tx.Query(reachSQL+`SELECT v.row, v.vector FROM reach, memory_vectors v
			LEFT JOIN messages m ON m.id = v.row LEFT JOIN notes n ON n.seq = v.row - `+noteRows+`
			WHERE v.workspace = $1 AND v.model = $7 AND (`+messageInReach+` OR `+noteInReach+`)
			ORDER BY v.row DESC LIMIT $8`, p.args(tx.Now(), model, compared)...)
	if err != nil {
		return likes{}, fmt.Errorf("look up vectors: %w", err)
	}
	defer rows.Close()
	l := likes{by: map[int64]float64{}}
	sum, squares := 0.0, 0.0
	for rows.Next() {
		var row int64
		var v []byte
		if err := rows.Scan(&row, &v); err != nil {
			return likes{}, fmt.Errorf("look up vectors: %w", err)
		}
		by := dot(v, query)
		l.by[row] = by
		sum, squares = sum+by, squares+by*by
		if by >= alikeAtLeast {
			l.nearest = append(l.nearest, row)
		}
	}
	if err := rows.Err(); err != nil {
		return likes{}, fmt.Errorf("look up vectors: %w", err)
	}
	if n := float64(len(l.by)); n > 0 {
		l.mean = sum / n
		l.spread = math.Sqrt(max(squares/n-l.mean*l.mean, 0))
	}
	slices.SortFunc(l.nearest, func(a, b int64) int { return cmp.Or(cmp.Compare(l.by[b], l.by[a]), cmp.Compare(b, a)) })
	l.nearest = l.nearest[:min(alike, len(l.nearest))]
	return l, nil
}

const (
	// judges is how many of the best by words say whether the vectors tell anything.
	judges = 8
	// tooFew vectors in reach have no spread to speak of.
	tooFew = 50
)

// trust is how much the vectors are to be believed for this query, from 0 to 1: as
// far as what is best by words, which is mostly right, stands out by them too. A
// model that tells texts apart badly, or knows another language, so takes nothing
// away. hits are in the order by words.
func (l likes) trust(hits []Hit, row map[Source]int64) float64 {
	if len(l.by) < tooFew {
		return 1
	}
	n, out := 0.0, 0.0
	for _, h := range hits[:min(judges, len(hits))] {
		by, has := l.by[row[likeKey(h)]]
		if h.Score <= 0 || !has {
			continue
		}
		n++
		out += (by - l.mean) / max(l.spread, 1e-9)
	}
	if n == 0 {
		return 1 // words say nothing
	}
	return min(max((out/n-trustFrom)/(trustAll-trustFrom), 0), 1)
}

// Standard deviations by which the best by words stand out where vectors are not
// believed at all, and wholly.
const (
	trustFrom = 1.0
	trustAll  = 2.5
)

// fuse orders hits, which come in the order by words, by the weighted sum of the
// two scores, each from 0 to 1.
func fuse(hits []Hit, l likes, row map[Source]int64, limit int) []Hit {
	weight := likeness * l.trust(hits, row)
	top := 0.0
	for _, h := range hits {
		top = max(top, h.Score)
	}
	for i := range hits {
		h := &hits[i]
		if top > 0 {
			h.Score /= top
		}
		if by, has := l.by[row[likeKey(*h)]]; has {
			h.Score += weight * max(by-max(l.mean, 0), 0) / max(1-max(l.mean, 0), 1e-9)
		}
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
