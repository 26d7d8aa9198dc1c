package bot

import (
	"regexp"
	"testing"

	"deskmate/scheduler/handoff"
)

// To accept, decline, withdraw, confirm or decide is an act of a human: a model has
// no tool for it, whatever it is told.
func TestNoToolAnswersAHandoff(t *testing.T) {
	t.Parallel()
	answers := regexp.MustCompile(`accept|declin|withdraw|confirm|approve|decide|lapse|take_over`)
	found := map[string]bool{}
	for _, tool := range (Toolbox{}).Tools() {
		if answers.MatchString(tool.Name) {
			t.Errorf("there is a tool %s", tool.Name)
		}
		found[tool.Name] = true
	}
	for _, name := range []string{"handoff_offer", "handoff_list", "offboarding_plan"} {
		if !found[name] {
			t.Errorf("there is no tool %s", name)
		}
	}
}

func TestReasonsOfPeopleAreHarmless(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"too  much\nwork":             "too much work",
		"<!channel> see `this`":       "‹!channel› see 'this'",
		"<https://evil.example|free>": "‹https://evil.example|free›",
		"ask <@U0BEN> in <#C0ENG>":    "ask <@U0BEN> in <#C0ENG>",
	} {
		if got := harmlessWords(said); got != want {
			t.Errorf("%q became %q, want %q", said, got, want)
		}
	}
}

func TestWhatIsHandedOverIsRead(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]Wish{
		"":            {From: "U0BEN"},
		"everything":  {From: "U0BEN"},
		"duties":      {From: "U0BEN", Only: handoff.KindDuty},
		"my threads":  {From: "U0BEN", Only: handoff.KindThread},
		"d_abc d_def": {From: "U0BEN", Items: []handoff.Ref{{Kind: "duty", ID: "d_abc"}, {Kind: "duty", ID: "d_def"}}},
	} {
		w := Wish{From: "U0BEN"}
		if err := (&Handover{}).Mean(t.Context(), &w, what, "C0ENG", "", true); err != nil {
			t.Errorf("%q: %v", what, err)
		}
		if w.Only != want.Only || len(w.Items) != len(want.Items) {
			t.Errorf("%q means %+v, want %+v", what, w, want)
		}
	}
	for _, what := range []string{"this thread", "d_<@U0BEN>", "the moon", "and"} {
		if err := (&Handover{}).Mean(t.Context(), &Wish{}, what, "D0BEN", "1.2", true); err == nil {
			t.Errorf("%q in a direct message was understood", what)
		}
	}
}
