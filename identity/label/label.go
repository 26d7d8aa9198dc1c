// Package label says what a text may reveal and whom it may obey.
//
// A label has two halves. Confidentiality: the places that are not open to the
// whole workspace and from which something went into the text; who reads the text
// should be a reader of all of them. Integrity: the sources that went into it and
// that nobody here answers for, such as the result of a tool or the words of a
// guest; what such text says is information and never an order.
//
// It promises that joining labels never takes a restriction away, also when a
// label is cut to its bounds. It must never look at the text itself: encodings and
// paraphrases carry a label as well as plain words do.
package label

import (
	"slices"
	"strings"
)

// Everything in Label.Channels stands for more places than a label holds: nobody
// is known to be a reader of all of them.
const Everything = "*"

// More in Label.Untrusted stands for further sources.
const More = "more"

// Bounds of a label, in elements.
const (
	mostChannels  = 32
	mostUntrusted = 32
)

// Label is what went into a text. The zero Label is that of text which everybody
// here may read and somebody here answers for.
type Label struct {
	// Channels are the ids of the places that are not open to the whole workspace,
	// sorted and unique; Everything alone if they are too many.
	Channels []string `json:"channels,omitempty"`
	// Untrusted are the sources that nobody here answers for, sorted and unique:
	// "tool:NAME", "guest:U…", "outsider:U…", "bot:B…", "file:F…".
	Untrusted []string `json:"untrusted,omitempty"`
}

// Of is the label of what is read in a channel of a kind: public ones restrict
// nothing.
func Of(channel, kind string) Label {
	if kind == "public" || channel == "" {
		return Label{}
	}
	return Label{Channels: []string{channel}}
}

// From is the label of what comes from a source that nobody here answers for:
// kind is "tool", "guest", "outsider", "bot" or "file".
func From(kind, name string) Label {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r == '\u0085' || r == '\u00a0' {
			return '_'
		}
		return r
	}, name)
	return Label{Untrusted: []string{kind + ":" + name}}
}

// Join is the label of a text into which texts with all these labels went.
func Join(all ...Label) Label {
	var out Label
	for _, l := range all {
		out.Channels = append(out.Channels, l.Channels...)
		out.Untrusted = append(out.Untrusted, l.Untrusted...)
	}
	out.Channels, out.Untrusted = unique(out.Channels), unique(out.Untrusted)
	if len(out.Channels) > mostChannels || slices.Contains(out.Channels, Everything) {
		out.Channels = []string{Everything}
	}
	if len(out.Untrusted) > mostUntrusted {
		// Which ones are left out is for people to miss, not for rules.
		kept := slices.DeleteFunc(out.Untrusted, func(s string) bool { return s == More })
		out.Untrusted = append(slices.Clone(kept[:mostUntrusted-1]), More)
		slices.Sort(out.Untrusted)
	}
	return out
}

func unique(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}

// IsZero reports whether the label restricts nothing.
func (l Label) IsZero() bool { return len(l.Channels) == 0 && len(l.Untrusted) == 0 }

// Trusted reports whether somebody here answers for all of the text.
func (l Label) Trusted() bool { return len(l.Untrusted) == 0 }

// Beside are the places other than these from which something went into the text.
func (l Label) Beside(places ...string) []string {
	var out []string
	for _, c := range l.Channels {
		if !slices.Contains(places, c) {
			out = append(out, c)
		}
	}
	return out
}

// String is the label in one line without spaces inside its words, "" for the zero
// Label: "C0LEADS from:tool:tracker.get_issue".
func (l Label) String() string {
	words := slices.Clone(l.Channels)
	for _, u := range l.Untrusted {
		words = append(words, "from:"+u)
	}
	return strings.Join(words, " ")
}
