package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"deskmate/scheduler"
)

// here are the duties that report to the place of the call. Those of other
// places are nobody's business here.
func (t dutyTool) here(ctx context.Context, c Call) ([]scheduler.Duty, error) {
	all, err := t.scheduler.List(ctx, scheduler.Filter{Workspace: c.Turn.Workspace, Channel: c.Turn.Channel})
	if err != nil {
		return nil, fmt.Errorf("list duties: %w", err)
	}
	return all, nil
}

// named decodes a call that names a duty, and finds it.
func (t dutyTool) named(ctx context.Context, c Call) (scheduler.Duty, error) {
	var a struct{ Duty string }
	if err := c.decode(&a); err != nil {
		return scheduler.Duty{}, err
	}
	return t.find(ctx, c, a.Duty)
}

// find is the one duty here that was meant, by id or words.
func (t dutyTool) find(ctx context.Context, c Call, called string) (scheduler.Duty, error) {
	all, err := t.here(ctx, c)
	if err != nil {
		return scheduler.Duty{}, err
	}
	words := strings.Fields(strings.ToLower(strings.Trim(called, "`\"' ")))
	var found []scheduler.Duty
	for _, d := range all {
		if len(words) == 1 && d.ID == words[0] {
			return d, nil
		}
		fits := len(words) > 0
		about := " " + strings.ToLower(d.Title+" "+d.Prompt+" "+d.When)
		for _, w := range words {
			fits = fits && (beginsWord(about, w) || isFiller(w))
		}
		if fits {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return scheduler.Duty{}, badArgument("no duty of this channel fits %q; duty_list shows them", called)
	}
	var ids []string
	for _, d := range found {
		ids = append(ids, d.ID+" ("+d.Title+")")
	}
	return scheduler.Duty{}, badArgument("%d duties fit %q, name one by its id: %s", len(found), called, strings.Join(ids, ", "))
}

// beginsWord reports whether a word of text, which begins with a space, begins so:
// "all" is not in "called".
func beginsWord(text, word string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		if first, _ := utf8.DecodeRuneInString(word); !isWordRune(before) || !isWordRune(first) {
			return true
		}
		at += len(word)
	}
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

// isAll reports whether every duty is meant.
func isAll(called string) bool {
	found := false
	for _, w := range strings.Fields(strings.ToLower(called)) {
		switch w {
		case "all", "every", "everything", "of", "them":
			found = found || w != "of"
		default:
			if !isFiller(w) {
				return false
			}
		}
	}
	return found
}

// meant are the duties that a call names: one, or all here that the person owns.
func (t dutyTool) meant(ctx context.Context, c Call, called string) ([]scheduler.Duty, error) {
	if !isAll(called) {
		d, err := t.find(ctx, c, called)
		return []scheduler.Duty{d}, err
	}
	all, err := t.here(ctx, c)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d scheduler.Duty) bool { return d.Owner != c.Event.User })
	if len(all) == 0 {
		return nil, badArgument("no duty of this channel is yours; name one by its id, duty_list shows them")
	}
	return all, nil
}

func isFiller(word string) bool {
	switch word {
	case "the", "a", "an", "duty", "duties", "my", "our", "reminder", "to", "about", "for":
		return true
	}
	return false
}

// allowed refuses who may not steer a duty. A run acts with its owner's rights and
// a deletion takes away their work, so that being in the channel is not enough; to
// pause is open to all there, and to look too.
func (t dutyTool) allowed(ctx context.Context, c Call, d scheduler.Duty) error {
	may, err := t.rules.May(ctx, c.Event.User, d)
	if err == nil && !may {
		return badArgument("%s; anybody here may pause it", MayNot)
	}
	return err
}

// own is the duty that the call names, of somebody who may steer it.
func (t dutyTool) own(ctx context.Context, c Call) (scheduler.Duty, error) {
	d, err := t.named(ctx, c)
	if err != nil {
		return scheduler.Duty{}, err
	}
	return d, t.allowed(ctx, c, d)
}
