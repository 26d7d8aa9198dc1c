package modelsim

import (
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strings"
	"unicode"
)

// embedDims is the length of the vectors.
const embedDims = 256

// alike are words that mean the same here.
var alike = map[string]string{"car": "automobile", "cars": "automobile", "vehicle": "automobile", "salary": "pay", "wages": "pay", "holiday": "vacation", "leave": "vacation"}

// embeddings answers with vectors that count words by their hashes; words that
// mean the same count as one.
func (s *Server) embeddings(w http.ResponseWriter, r *http.Request) {
	if !s.admits(w, r) {
		return
	}
	var q struct {
		Input []string `json:"input"`
		Model string   `json:"model"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil || len(q.Input) == 0 {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "input must be texts")
		return
	}
	data := []map[string]any{}
	for i, text := range q.Input {
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": embedding(q.Model, text)})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "model": q.Model, "data": data, "usage": map[string]int{"prompt_tokens": 1, "total_tokens": 1}})
}

func embedding(model, text string) []float32 {
	v := make([]float32, embedDims)
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
		if same, ok := alike[word]; ok {
			word = same
		}
		h := fnv.New32a()
		h.Write([]byte(model + " " + word)) // a hash never fails
		v[h.Sum32()%embedDims]++
	}
	return v
}
