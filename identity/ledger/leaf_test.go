package ledger

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func fullLeaf() leaf {
	ref := int64(6)
	return leaf{Seq: 7, At: 1_700_000_000_000_000, MACs: map[string]string{"args": "00ff", "result": "11"}, Record: Record{
		Workspace: "T1", Kind: "outcome", Agent: "U0AGENT", Actor: "U0ADA", Requester: "U0BEN", Turn: "t1", Cause: "message:C1:1.2",
		Channel: "C1", Thread: "1.2", Target: "C2", Tool: "post", Class: "write", Action: "k\"\\\n\x01é", Decision: "allow",
		Reasons: []string{"a", ""}, Outcome: "done", Ref: &ref, Fields: map[string]string{"b": "2", "a": "\t"}}}
}

func TestALeafIsCanonicalJSON(t *testing.T) {
	t.Parallel()
	f := fullLeaf()
	got := string(f.appendTo(nil))
	// RFC 8785: names sorted, no space, the short escapes, others in lower case.
	const want = `{"action":"k\"\\\n\u0001é","actor":"U0ADA","agent":"U0AGENT","at":1700000000000000,"cause":"message:C1:1.2","channel":"C1",` +
		`"class":"write","decision":"allow","fields":{"a":"\t","b":"2"},"kind":"outcome","outcome":"done","payload":{"args":"00ff","result":"11"},` +
		`"reasons":["a",""],"ref":6,"requester":"U0BEN","seq":7,"target":"C2","thread":"1.2","tool":"post","turn":"t1","v":1,"workspace":"T1"}`
	if got != want {
		t.Errorf("leaf =\n%s\nwant\n%s", got, want)
	}
	back, err := decodeLeaf(got)
	if err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("decoded = %+v, %v; want %+v", back, err, f)
	}
}

func TestWhatIsNotCanonicalIsNotALeaf(t *testing.T) {
	t.Parallel()
	f := fullLeaf()
	good := string(f.appendTo(nil))
	for name, bad := range map[string]string{
		"nothing":                   "",
		"a list":                    "[]",
		"a space":                   strings.Replace(good, `"v":1`, `"v": 1`, 1),
		"something behind":          good + "\n",
		"an unknown field":          strings.Replace(good, `"v":1`, `"u":1,"v":1`, 1),
		"a field twice":             strings.Replace(good, `"v":1`, `"v":1,"v":1`, 1),
		"fields out of order":       strings.Replace(good, `"tool":"post","turn":"t1"`, `"turn":"t1","tool":"post"`, 1),
		"a missing number":          strings.Replace(good, `"seq":7,`, ``, 1),
		"another version":           strings.Replace(good, `"v":1`, `"v":2`, 1),
		"an empty field":            strings.Replace(good, `"tool":"post"`, `"tool":""`, 1),
		"an empty list":             strings.Replace(good, `["a",""]`, `[]`, 1),
		"an empty object":           strings.Replace(good, `{"a":"\t","b":"2"}`, `{}`, 1),
		"names out of order":        strings.Replace(good, `"a":"\t","b":"2"`, `"b":"2","a":"\t"`, 1),
		"a name twice":              strings.Replace(good, `"a":"\t","b":"2"`, `"a":"\t","a":"2"`, 1),
		"a long escape":             strings.Replace(good, `"\t"`, `"\u0009"`, 1),
		"a capital escape":          strings.Replace(good, `\u0001`, `\u001F`, 1),
		"an escape that none needs": strings.Replace(good, `"T1"`, `"\u0054"`, 1),
		"a leading zero":            strings.Replace(good, `"seq":7`, `"seq":07`, 1),
		"a fraction":                strings.Replace(good, `"seq":7`, `"seq":7.0`, 1),
		"more than 2^53":            strings.Replace(good, `"seq":7`, `"seq":9007199254740992`, 1),
		"a bare control character":  strings.Replace(good, `"T1"`, "\"T\x011\"", 1),
		"invalid UTF-8":             strings.Replace(good, `"T1"`, "\"T\xff\"", 1),
		"a string without an end":   `{"action":"x`,
		"a backslash at the end":    `{"action":"x\`,
	} {
		if f, err := decodeLeaf(bad); err == nil {
			t.Errorf("%s: accepted %s as %+v", name, bad, f)
		}
	}
}

// Whatever decodes is written the same way again, and means to any JSON decoder
// what it means to ours.
func FuzzDecodeLeaf(f *testing.F) {
	full := fullLeaf()
	f.Add(string(full.appendTo(nil)))
	f.Add(`{"at":1,"kind":"intent","seq":0,"v":1,"workspace":"T1"}`)
	f.Add(`{"action":"\"\\\b\f\n\r\t\u0000\u001f","at":-1,"seq":0,"v":1}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		leaf, err := decodeLeaf(text)
		if err != nil {
			return
		}
		if again := string(leaf.appendTo(nil)); again != text {
			t.Fatalf("decoded from\n%q\nencoded to\n%q", text, again)
		}
		var plain struct {
			Action, Kind, Workspace string
			Seq, At                 int64
			Fields, Payload         map[string]string
			Reasons                 []string
		}
		if err := json.Unmarshal([]byte(text), &plain); err != nil {
			t.Fatalf("%q is no JSON: %v", text, err)
		}
		if plain.Action != leaf.Action || plain.Kind != leaf.Kind || plain.Workspace != leaf.Workspace || plain.Seq != leaf.Seq || plain.At != leaf.At ||
			!reflect.DeepEqual(plain.Fields, leaf.Fields) || !reflect.DeepEqual(plain.Payload, leaf.MACs) || !reflect.DeepEqual(plain.Reasons, leaf.Reasons) {
			t.Fatalf("%q means %+v to encoding/json and %+v to us", text, plain, leaf)
		}
	})
}

func FuzzMaskedJSONStaysJSON(f *testing.F) {
	f.Add(`{"a":"xoxb-` + `1234567890\"","b":"\nsk-aaaaaaaaaaaaaaaaaaaa"}`)
	f.Add(`{"k":"-----BEGIN ` + `PRIVATE KEY-----\nabc\\\"x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if masked := Mask(text); json.Valid([]byte(text)) && !json.Valid([]byte(masked)) {
			t.Fatalf("%q became %q", text, masked)
		}
	})
}

func TestMask(t *testing.T) {
	t.Parallel()
	// Put together here, so that the tree holds nothing of such a form.
	for name, secret := range map[string]string{
		"a bot token":        "xoxb-" + "1234567890-abcdefghij",
		"an app token":       "xapp-" + "1-A0123456789-1234567890-abcdef",
		"a user token":       "xoxp-" + "1234567890-abcdefghij",
		"a rotating token":   "xoxe." + "xoxp-1-Mi0yLTEyMzQ1",
		"a model key":        "sk-" + "proj-abcdefghijklmnopqrstuv",
		"a GitHub token":     "ghp_" + strings.Repeat("a", 36),
		"an AWS key":         "AKIA" + strings.Repeat("B", 16),
		"a JSON web token":   "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh",
		"a bearer header":    "Bearer " + "abcdefghijklmnopqrst",
		"a webhook":          "hooks.slack.com/" + "services/T0/B0/abcdef",
		"the start of a key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEabc",
	} {
		for _, around := range [][2]string{{"", ""}, {"the token is ", ", keep it"}, {`{"text":"`, `"}`}, {`{"text":"line\n`, `"}`}, {`\u000a`, ""}} {
			got := Mask(around[0] + secret + around[1])
			if !strings.HasPrefix(got, around[0]+"[secret]") || strings.Contains(got, secret) {
				t.Errorf("%s in %q: Mask = %q", name, around, got)
			}
		}
	}
	for _, plain := range []string{"", "task-force-of-the-whole-company", "a risk-assessment-of-everything", "the bearer of bad news", "xoxb-", "<@U0ADA> ghost_writers_of_the_year"} {
		if got := Mask(plain); got != plain {
			t.Errorf("Mask(%q) = %q, want it unchanged", plain, got)
		}
	}
	if got := Mask("a\x00b\xff"); got != "a\uFFFDb\uFFFD" {
		t.Errorf("Mask = %q, want replacement characters", got)
	}
}
