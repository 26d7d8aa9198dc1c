package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"deskmate/memory"
	"deskmate/migrations"
)

type evalCommand struct {
	Recall evalRecall `cmd:"" help:"Measure the search of memory on a corpus with questions."`
}

type evalRecall struct {
	Corpus  string `required:"" help:"Messages, one JSON object a line: id, channel, thread, author, ts (unix seconds), text." placeholder:"FILE"`
	Queries string `required:"" help:"Questions, one JSON object a line: id, category, text, relevant (ids of messages)." placeholder:"FILE"`
	Noise   string `help:"Unrelated messages to hide the corpus among, in its format." placeholder:"FILE"`
	JSON    bool   `help:"Print JSON."`
}

// Help implements kong.HelpProvider.
func (evalRecall) Help() string {
	return "Loads the messages into a fresh store as Slack's would be kept, asks each question of the search that answers use, and prints recall and mean reciprocal rank. " +
		"Example: deskmate eval recall --corpus corpus.jsonl --queries queries.jsonl"
}

// evalDepth is how deep a list is read: recall@50 is the deepest figure.
const evalDepth = 50

// evalMessage is one line of a corpus.
type evalMessage struct {
	ID, Channel, Thread, Author, Text string
	TS                                float64
}

// evalQuery is one line of the questions.
type evalQuery struct {
	ID, Category, Text string
	Relevant           []string
}

// evalScore is what a set of questions reached, as fractions. Recall at k is the
// mean share of the relevant messages among the first k; MRR is the mean of 1 by
// the rank of the first relevant one, 0 beyond rank 50.
type evalScore struct {
	At5     float64 `json:"recall@5"`
	At10    float64 `json:"recall@10"`
	At25    float64 `json:"recall@25"`
	At50    float64 `json:"recall@50"`
	MRR     float64 `json:"mrr"`
	Queries int     `json:"queries"`
}

type evalReport struct {
	All        evalScore             `json:"all"`
	Categories map[string]*evalScore `json:"categories"`
}

func (c *evalRecall) Run(r *run) error {
	dir, err := os.MkdirTemp("", "deskmate-eval-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	report, err := recallOf(r, dir, c.Corpus, c.Queries, c.Noise)
	if err != nil {
		return fmt.Errorf("eval recall: %w", err)
	}
	if c.JSON {
		return printJSON(r.Out, report)
	}
	fmt.Fprintf(r.Out, "%-14s %8s %6s %6s %6s %6s %6s\n", "", "queries", "R@5", "R@10", "R@25", "R@50", "MRR")
	line := func(name string, s evalScore) {
		fmt.Fprintf(r.Out, "%-14s %8d %6.1f %6.1f %6.1f %6.1f %6.1f\n", name, s.Queries, 100*s.At5, 100*s.At10, 100*s.At25, 100*s.At50, 100*s.MRR)
	}
	line("all", report.All)
	for _, name := range sortedKeys(report.Categories) {
		line(name, *report.Categories[name])
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// recallOf measures in a store of its own under dir.
func recallOf(ctx context.Context, dir, corpus, queries, noise string) (evalReport, error) {
	messages, err := readLines[evalMessage](corpus)
	if err != nil {
		return evalReport{}, err
	}
	questions, err := readLines[evalQuery](queries)
	if err != nil {
		return evalReport{}, err
	}
	if len(questions) == 0 {
		return evalReport{}, fmt.Errorf("%s has no questions", queries)
	}
	db, err := migrations.Open(ctx, "sqlite:"+filepath.Join(dir, "deskmate.db"), migrations.Options{})
	if err != nil {
		return evalReport{}, fmt.Errorf("open store: %w", err)
	}
	defer db.Close()
	// Messages have no entries in the ledger: the memory that is measured needs none.
	e := evalWorld{memory: memory.New(db, nil), db: db, channels: map[string]string{}, people: map[string]string{}, threads: map[string]string{}, ids: map[memory.Source]string{}}
	if err := e.load(ctx, messages, ""); err != nil {
		return evalReport{}, err
	}
	if noise != "" {
		unrelated, err := readLines[evalMessage](noise)
		if err != nil {
			return evalReport{}, err
		}
		if err := e.load(ctx, unrelated, "noise "); err != nil {
			return evalReport{}, err
		}
	}
	return e.ask(ctx, questions)
}

// readLines reads a file of one JSON object a line.
func readLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []T
	in := json.NewDecoder(bufio.NewReader(f))
	for {
		var v T
		if err := in.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read %s, entry %d: %w", path, len(all)+1, err)
		}
		all = append(all, v)
	}
}

// evalTeam is the workspace of a measurement; evalAsker, in evalPlace, asks with
// access to all channels.
const (
	evalTeam  = "TEVAL"
	evalPlace = "CEVAL"
	evalAsker = "UEVAL"
)

// evalWorld is a workspace made of a corpus.
type evalWorld struct {
	memory   *memory.Memory
	db       *migrations.DB
	channels map[string]string // name → Slack id
	people   map[string]string
	threads  map[string]string // channel and name → ts of the root
	ids      map[memory.Source]string
}

// evalBatch is how many messages share a commit, as they do under load.
const evalBatch = 500

func (e *evalWorld) load(ctx context.Context, all []evalMessage, prefix string) error {
	for len(all) > 0 {
		n := min(evalBatch, len(all))
		if err := e.db.Write(ctx, func(tx *migrations.Tx) error {
			for _, msg := range all[:n] {
				if err := e.keep(tx, msg, prefix); err != nil {
					return fmt.Errorf("keep message %s: %w", msg.ID, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (e *evalWorld) keep(tx *migrations.Tx, msg evalMessage, prefix string) error {
	channel, known := e.channels[prefix+msg.Channel]
	if !known {
		channel = fmt.Sprintf("C%08d", len(e.channels)+1)
		e.channels[prefix+msg.Channel] = channel
		if err := e.memory.SaveChannel(tx, memory.Channel{Workspace: evalTeam, ID: channel, Name: msg.Channel, Kind: memory.ChannelPublic, IsMember: true}); err != nil {
			return err
		}
	}
	person, known := e.people[msg.Author]
	if !known {
		person = fmt.Sprintf("U%08d", len(e.people)+1)
		e.people[msg.Author] = person
		if err := e.memory.SavePerson(tx, memory.Person{Workspace: evalTeam, ID: person, Name: msg.Author, TZ: "UTC", Kind: memory.KindMember}); err != nil {
			return err
		}
	}
	ts := e.freeTS(channel, msg.TS)
	thread := channel + " " + msg.Thread
	if msg.Thread != "" && e.threads[thread] == "" {
		e.threads[thread] = ts
	}
	e.ids[memory.Source{Channel: channel, TS: ts}] = msg.ID
	return e.memory.Observe(tx, memory.Message{Workspace: evalTeam, Channel: channel, Thread: e.threads[thread], TS: ts, Author: person, Text: msg.Text})
}

// freeTS is a ts that no other message of the channel has: Slack tells messages
// of one second apart by the microseconds.
func (e *evalWorld) freeTS(channel string, seconds float64) string {
	for us := int64(seconds * 1e6); ; us++ {
		ts := strconv.FormatInt(us/1e6, 10) + fmt.Sprintf(".%06d", us%1e6)
		if _, taken := e.ids[memory.Source{Channel: channel, TS: ts}]; !taken {
			return ts
		}
	}
}

func (e *evalWorld) ask(ctx context.Context, questions []evalQuery) (evalReport, error) {
	report := evalReport{Categories: map[string]*evalScore{}}
	place := memory.Place{Workspace: evalTeam, Channel: evalPlace, ChannelKind: memory.ChannelPublic, Requester: evalAsker, RequesterKind: memory.KindMember}
	for _, q := range questions {
		if len(q.Relevant) == 0 {
			return evalReport{}, fmt.Errorf("question %s names no relevant message", q.ID)
		}
		hits, err := e.memory.Search(ctx, place, q.Text, evalDepth)
		if err != nil {
			return evalReport{}, fmt.Errorf("ask %s: %w", q.ID, err)
		}
		if report.Categories[q.Category] == nil {
			report.Categories[q.Category] = &evalScore{}
		}
		for _, s := range []*evalScore{&report.All, report.Categories[q.Category]} {
			s.count(hits, e.ids, q.Relevant)
		}
	}
	report.All.mean()
	for _, s := range report.Categories {
		s.mean()
	}
	return report, nil
}

func (s *evalScore) count(hits []memory.Hit, ids map[memory.Source]string, relevant []string) {
	s.Queries++
	for i, h := range hits {
		if !slices.Contains(relevant, ids[memory.Source{Channel: h.Channel, TS: h.TS}]) {
			continue
		}
		if s.found(hits[:i], ids, relevant) {
			s.MRR += 1 / float64(i+1)
		}
		share := 1 / float64(len(relevant))
		for k, at := range map[int]*float64{5: &s.At5, 10: &s.At10, 25: &s.At25, 50: &s.At50} {
			if i < k {
				*at += share
			}
		}
	}
}

// found reports whether none of hits is relevant yet.
func (s *evalScore) found(hits []memory.Hit, ids map[memory.Source]string, relevant []string) bool {
	return !slices.ContainsFunc(hits, func(h memory.Hit) bool {
		return slices.Contains(relevant, ids[memory.Source{Channel: h.Channel, TS: h.TS}])
	})
}

func (s *evalScore) mean() {
	for _, v := range []*float64{&s.At5, &s.At10, &s.At25, &s.At50, &s.MRR} {
		*v /= float64(s.Queries)
	}
}
