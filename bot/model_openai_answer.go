package bot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// frame is one event of a streamed answer, or a whole answer. It is read more
// leniently than the protocol asks for, as servers differ.
type frame struct {
	Model   string `json:"model"`
	Choices []struct {
		Delta        piece  `json:"delta"`
		Message      piece  `json:"message"` // of a server that does not stream
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Input  int `json:"prompt_tokens"`
		Output int `json:"completion_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type piece struct {
	Content string     `json:"content"`
	Refusal string     `json:"refusal"`
	Calls   []callPart `json:"tool_calls"`
}

// callPart is a tool call or a fragment of one. Arguments are a string by the
// protocol; some servers send the object itself.
type callPart struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// assembly gathers an answer from its frames.
type assembly struct {
	whole  bool // frames are whole answers: a call is never continued
	model  string
	text   strings.Builder
	calls  []*partialCall
	finish string
	usage  Usage
	shown  string
}

type partialCall struct {
	index *int
	id    string
	name  string
	args  strings.Builder
}

func (a *assembly) add(raw []byte, onText func(string)) error {
	var f frame
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("%w: %w", errGarbled, err)
	}
	if len(f.Error) > 0 && string(f.Error) != "null" {
		return &midError{f.Error}
	}
	if f.Model != "" {
		a.model = f.Model
	}
	if f.Usage != nil && f.Usage.Input+f.Usage.Output > 0 {
		a.usage = Usage{Input: f.Usage.Input, Output: f.Usage.Output}
	}
	if len(f.Choices) == 0 {
		return nil
	}
	c := f.Choices[0] // we never ask for more than one
	for _, p := range []piece{c.Delta, c.Message} {
		a.text.WriteString(p.Content)
		a.text.WriteString(p.Refusal)
		for _, part := range p.Calls {
			a.addCall(part)
		}
	}
	if c.FinishReason != "" {
		a.finish = c.FinishReason
	}
	if text := spoken(a.text.String()); onText != nil && text != "" && text != a.shown {
		a.shown = text
		onText(text)
	}
	return nil
}

// addCall adds a fragment to the call that it continues, or begins one. A new
// index or a new id begins a call. Without an index, a name does, as no server
// cuts names.
func (a *assembly) addCall(p callPart) {
	var c *partialCall
	for _, known := range a.calls {
		switch {
		case a.whole:
		case p.Index != nil && known.index != nil:
			if *p.Index == *known.index && (p.ID == "" || known.id == "" || p.ID == known.id) {
				c = known
			}
		case p.ID != "":
			if p.ID == known.id {
				c = known
			}
		}
	}
	if last := len(a.calls) - 1; c == nil && !a.whole && last >= 0 && p.ID == "" && p.Function.Name == "" {
		c = a.calls[last]
	}
	if c == nil {
		c = &partialCall{index: p.Index}
		a.calls = append(a.calls, c)
	}
	if p.ID != "" {
		c.id = p.ID
	}
	if c.name == "" {
		c.name = p.Function.Name
	}
	var text string
	if json.Unmarshal(p.Function.Arguments, &text) != nil {
		text = string(p.Function.Arguments)
	}
	c.args.WriteString(text)
}

// response is the gathered answer.
func (a *assembly) response(r Request, model string) (Response, error) {
	resp := Response{Text: spoken(a.text.String()), Usage: a.usage, Model: a.model}
	if resp.Model == "" {
		resp.Model = model
	}
	if a.finish == "content_filter" {
		return Response{}, errFiltered
	}
	ids := map[string]bool{}
	for i, c := range a.calls {
		if c.name == "" {
			return Response{}, fmt.Errorf("%w: a tool call names no tool", errGarbled)
		}
		id := c.id
		for n := i + 1; id == "" || ids[id]; n++ {
			id = fmt.Sprintf("call_%d", n)
		}
		ids[id] = true
		resp.Calls = append(resp.Calls, ToolCall{ID: id, Name: c.name, Args: readArguments(c.args.String())})
	}
	if a.finish == "length" && len(resp.Calls) == 0 {
		resp.Text = strings.TrimSpace(resp.Text + "\n\n(My answer was cut off: it reached its length limit.)")
	}
	if resp.Usage == (Usage{}) {
		resp.Usage = estimate(r, resp)
	}
	return resp, nil
}

// readArguments is a call's arguments as JSON: an object where the model wrote
// one, {} where it wrote nothing, else what it wrote as a JSON string, so that
// the loop can tell the model what was wrong with it.
func readArguments(s string) json.RawMessage {
	s = strings.TrimSpace(s)
	if s == "" || s == "null" {
		return json.RawMessage("{}")
	}
	var b bytes.Buffer
	if json.Compact(&b, []byte(s)) != nil {
		quoted, err := json.Marshal(s)
		if err != nil {
			return json.RawMessage(`""`)
		}
		return quoted
	}
	var inner string // an object that the model put into a string
	if json.Unmarshal(b.Bytes(), &inner) == nil && strings.HasPrefix(strings.TrimSpace(inner), "{") && json.Valid([]byte(inner)) {
		return json.RawMessage(inner)
	}
	return b.Bytes()
}

// spoken is text without the thoughts that open models put before their answer
// in <think> tags; while they still think it is empty.
func spoken(text string) string {
	rest, thinks := strings.CutPrefix(strings.TrimLeft(text, " \n"), "<think>")
	if !thinks {
		return text
	}
	_, said, ended := strings.Cut(rest, "</think>")
	if !ended {
		return ""
	}
	return strings.TrimLeft(said, " \n")
}

// estimate counts tokens at four characters each, for servers that do not count.
func estimate(r Request, resp Response) Usage {
	in, out := 0, len(resp.Text)
	for _, m := range r.Messages {
		in += len(m.Content)
		for _, c := range m.Calls {
			in += len(c.Name) + len(c.Args)
		}
	}
	for _, t := range r.Tools {
		in += len(t.Name) + len(t.Description) + len(t.Schema)
	}
	for _, c := range resp.Calls {
		out += len(c.Name) + len(c.Args)
	}
	return Usage{Input: in/4 + 1, Output: out/4 + 1}
}
