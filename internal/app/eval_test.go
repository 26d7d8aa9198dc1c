package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestEvalRecallCountsRanks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	corpus := write("corpus.jsonl", `{"id":"m1","channel":"eng","thread":"t1","author":"Ada","ts":1700000000,"text":"The falcon release freezes on Thursday."}
{"id":"m2","channel":"eng","thread":"t1","author":"Ben","ts":1700000001,"text":"Lunch is at noon."}
{"id":"m3","channel":"ops","thread":"t2","author":"Ada","ts":1700000002,"text":"Backups run every night."}
`)
	queries := write("queries.jsonl", `{"id":"q1","category":"found","text":"When does the falcon release freeze?","relevant":["m1"]}
{"id":"q2","category":"half","text":"How often do the backups run?","relevant":["m3","gone"]}
{"id":"q3","category":"lost","text":"Which colour is the submarine?","relevant":["m2"]}
`)
	got, err := recallOf(context.Background(), dir, corpus, queries, "")
	if err != nil {
		t.Fatal(err)
	}
	want := evalScore{At5: 0.5, At10: 0.5, At25: 0.5, At50: 0.5, MRR: 2.0 / 3, Queries: 3}
	if got.All != want {
		t.Errorf("got %+v, want %+v", got.All, want)
	}
	if half := got.Categories["half"]; half == nil || half.At10 != 0.5 || half.MRR != 1 {
		t.Errorf("half: got %+v, want half of the relevant ones at rank 1", half)
	}
	if lost := got.Categories["lost"]; lost == nil || *lost != (evalScore{Queries: 1}) {
		t.Errorf("lost: got %+v, want nothing found", lost)
	}
	for name, bad := range map[string]string{"no questions": "", "malformed": "{", "nothing relevant": `{"id":"q","text":"x"}`} {
		if _, err := recallOf(context.Background(), t.TempDir(), corpus, write("bad.jsonl", bad), ""); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// The search keeps its promise on the development part of the evaluation data.
func TestRecallOnEvaluationData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "bench", "recall")
	if _, err := os.Stat(filepath.Join(dir, "corpus.jsonl")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the evaluation data of recall is missing beside the checkout: %v", err)
		}
		t.Skip("there is no evaluation data beside the checkout (shared/bench/recall): recall is not measured")
	}
	got, err := recallOf(context.Background(), t.TempDir(), filepath.Join(dir, "corpus.jsonl"), filepath.Join(dir, "queries.jsonl"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("recall@10 %.3f, MRR %.3f of %d questions", got.All.At10, got.All.MRR, got.All.Queries)
	if got.All.At10 < 0.78 || got.All.MRR < 0.60 {
		t.Errorf("recall@10 %.3f and MRR %.3f, want at least 0.78 and 0.60", got.All.At10, got.All.MRR)
	}
}
