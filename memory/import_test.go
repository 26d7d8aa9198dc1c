package memory

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func (w *world) export() (files []string, all []Entry) {
	w.t.Helper()
	all, err := w.List(context.Background(), team, Filter{Superseded: true, Expired: true, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		files = append(files, e.Markdown())
	}
	return files, all
}

func TestExportComesBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	for _, text := range []string{
		"plain", "---\nfront: matter\n---\nin the text", "“quotes”: \"double\" 'single' # hash\ttab", "emoji 🎉 и кириллица", strings.Repeat("long ", 700), "two\n\nparagraphs",
	} {
		w.remember(p, text)
	}
	n := w.remember(p, "the falcon flies on Monday")
	if _, _, err := w.Correct(ctx, p, n.ID, "the falcon flies on Tuesday"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Supersede(ctx, p, n.ID, NewNote{Text: "the falcon is grounded", ExpiresAt: w.now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	files, _ := w.export()
	var read []Entry
	for _, f := range files {
		e, err := ParseMarkdown([]byte(f))
		if err != nil {
			t.Fatalf("read back %q: %v", f, err)
		}
		read = append(read, e)
	}
	if did, err := w.Import(ctx, team, read, "cli:op", false); err != nil || !reflect.DeepEqual(did, Imported{Unchanged: len(read)}) {
		t.Errorf("into the same store: %+v, %v; want all unchanged", did, err)
	}
	other := newWorld(t)
	if did, err := other.Import(ctx, team, read, "cli:op", true); err != nil || !reflect.DeepEqual(did, Imported{New: len(read)}) {
		t.Errorf("dry run: %+v, %v; want all new", did, err)
	}
	if got, _ := other.export(); len(got) != 0 {
		t.Errorf("a dry run left %d notes", len(got))
	}
	if _, err := other.Import(ctx, team, read, "cli:op", false); err != nil {
		t.Fatal(err)
	}
	if got, _ := other.export(); !slices.Equal(got, files) {
		t.Errorf("exported again: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(files, "\n"))
	}
	if got := other.found(p, "grounded falcon"); len(got) != 1 {
		t.Errorf("found %q, want the note that counts", got)
	}
	read[0].Text, read[1].ExpiresAt = "plain and corrected", w.now.Add(48*time.Hour)
	if did, err := other.Import(ctx, team, read, "cli:op", false); err != nil || did.Corrected != 2 || did.New != 0 {
		t.Errorf("changed files: %+v, %v; want two corrected", did, err)
	}
	if _, h, err := other.History(ctx, p, read[0].ID); err != nil || len(h) != 2 || h[1].Author != "cli:op" {
		t.Errorf("history: %+v, %v; want the version before and the operator's", h, err)
	}
	if report, err := other.log.Verify(ctx, team); err != nil || len(report.Problems) > 0 {
		t.Errorf("verify ledger: %v, problems %v; want none", err, report.Problems)
	}
	read[2].Workspace = "T2"
	_, err := other.Import(ctx, team, read, "cli:op", false)
	wantErr(t, err, ErrElsewhere)
}

func TestBadFilesAreRefused(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"no front matter":                                                       "front matter",
		"---\nscope: workspace\n---\n\n \n":                                     "no words",
		"---\nscope: everywhere\n---\n\ntext\n":                                 "scope",
		"---\nscope: dm:C1\n---\n\ntext\n":                                      "scope",
		"---\nscope: workspace\ncolour: red\n---\n\ntext\n":                     "colour",
		"---\nscope: workspace\nexpires_at: soon\n---\n\ntext\n":                "expires_at",
		"---\nscope: workspace\nversion: 3\n---\n\ntext\n":                      "history",
		"---\nscope: workspace\n---\n\n" + strings.Repeat("x ", MaxNote) + "\n": "at most",
	} {
		if _, err := ParseMarkdown([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", file, err, want)
		}
	}
	e, err := ParseMarkdown([]byte("---\nscope: workspace\n---\n\nby hand\n"))
	if err != nil || e.Text != "by hand" || e.Version != 1 {
		t.Errorf("by hand: got %+v, %v", e, err)
	}
}
