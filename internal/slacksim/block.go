package slacksim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// surface is where blocks are shown; it decides which types and how many.
type surface int

const (
	onMessage surface = iota
	onModal
	onHome
	onStream // chunks of a stream take blocks that messages do not
)

// blockTypes are the blocks that Slack knows, with the surfaces that take them.
var blockTypes = map[string][]surface{
	"actions":            {onMessage, onModal, onHome, onStream},
	"alert":              {onStream},
	"card":               {onStream},
	"carousel":           {onStream},
	"container":          {onMessage, onStream},
	"context":            {onMessage, onModal, onHome, onStream},
	"context_actions":    {onMessage, onStream},
	"data_table":         {onMessage, onStream},
	"data_visualization": {onMessage, onStream},
	"divider":            {onMessage, onModal, onHome, onStream},
	"file":               {onMessage},
	"header":             {onMessage, onModal, onHome, onStream},
	"image":              {onMessage, onModal, onHome, onStream},
	"input":              {onMessage, onModal, onHome},
	"layout":             {onMessage, onStream},
	"markdown":           {onMessage, onStream},
	"plan":               {onMessage, onStream},
	"rich_text":          {onMessage, onModal, onHome, onStream},
	"section":            {onMessage, onModal, onHome, onStream},
	"table":              {onMessage, onStream},
	"task_card":          {onMessage, onStream},
	"video":              {onMessage, onModal, onHome, onStream},
}

// actionElements are the elements with which people act.
var actionElements = setOf([]string{
	"button", "channels_select", "checkboxes", "conversations_select", "datepicker", "datetimepicker", "external_select",
	"feedback_buttons", "icon_button", "multi_channels_select", "multi_conversations_select", "multi_external_select",
	"multi_static_select", "multi_users_select", "overflow", "radio_buttons", "static_select", "timepicker", "users_select",
	"workflow_button",
})

// inputElements are those that stand only in an input block.
var inputElements = setOf([]string{"email_text_input", "file_input", "number_input", "plain_text_input", "rich_text_input", "url_text_input"})

// checker collects what is wrong with a list of blocks.
type checker struct {
	server   *Server
	surface  surface
	problems []string
	blockIDs map[string]bool
	markdown int
}

// checkBlocks refuses blocks that Slack would refuse and returns them with the
// ids that Slack adds. Empty input gives nil.
func (s *Server) checkBlocks(raw string, on surface) (json.RawMessage, error) {
	if raw == "" || raw == "null" || raw == "[]" {
		return nil, nil
	}
	var blocks []obj
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&blocks); err != nil {
		return nil, refuse("invalid_blocks_format")
	}
	k := &checker{server: s, surface: on, blockIDs: map[string]bool{}}
	limit := 50
	if on == onModal || on == onHome {
		limit = 100
	}
	if len(blocks) > limit {
		k.fail("/blocks", "no more than %d items allowed", limit)
	}
	for i, b := range blocks {
		k.block(fmt.Sprintf("/blocks/%d", i), b)
	}
	if k.problems != nil {
		return nil, refuse("invalid_blocks", k.problems...)
	}
	return encode(blocks), nil
}

// fail notes a problem at a JSON pointer, in Slack's words.
func (k *checker) fail(at, format string, a ...any) {
	if len(k.problems) < 20 {
		k.problems = append(k.problems, "[ERROR] "+fmt.Sprintf(format, a...)+" [json-pointer:"+at+"]")
	}
}

func (k *checker) block(at string, b obj) {
	kind, _ := b["type"].(string)
	surfaces, known := blockTypes[kind]
	if !known || !slices.Contains(surfaces, k.surface) {
		k.fail(at+"/type", "unsupported type: %s", kind)
		return
	}
	k.id(at, b)
	switch kind {
	case "section":
		k.section(at, b)
	case "header":
		k.text(at+"/text", b["text"], true, 150, "plain_text")
	case "context":
		k.context(at, b)
	case "actions":
		k.actions(at, b, 25)
	case "context_actions":
		k.actions(at, b, 5)
	case "image":
		k.image(at, b)
	case "markdown":
		k.markdownBlock(at, b)
	case "input":
		k.input(at, b)
	case "rich_text":
		k.list(at+"/elements", b["elements"], 1, 0)
	case "table":
		k.list(at+"/rows", b["rows"], 1, 100)
	case "task_card":
		k.str(at+"/title", b["title"], true, 0)
	case "plan":
		k.str(at+"/title", b["title"], true, 0)
	}
}

// id checks a block's id for length and uniqueness, and makes one where it lacks.
func (k *checker) id(at string, b obj) {
	given, there := b["block_id"]
	id, isText := given.(string)
	if !there || id == "" {
		b["block_id"] = k.server.blockID()
		return
	}
	if !isText || utf8.RuneCountInString(id) > 255 {
		k.fail(at+"/block_id", "must be a string of less than 256 characters")
	}
	if k.blockIDs[id] {
		k.fail(at+"/block_id", "`block_id` already in use: %s", id)
	}
	k.blockIDs[id] = true
}

func (k *checker) section(at string, b obj) {
	fields, hasFields := b["fields"]
	if b["text"] == nil && !hasFields {
		k.fail(at, "missing required field: text or fields")
	}
	if b["text"] != nil {
		k.text(at+"/text", b["text"], true, 3000)
	}
	if hasFields {
		for i, f := range k.list(at+"/fields", fields, 1, 10) {
			k.text(fmt.Sprintf("%s/fields/%d", at, i), f, true, 2000)
		}
	}
	if acc, ok := b["accessory"]; ok {
		if el, isObj := acc.(obj); isObj && el["type"] == "image" {
			k.image(at+"/accessory", el)
			return
		}
		k.element(at+"/accessory", acc, map[string]bool{})
	}
}

func (k *checker) context(at string, b obj) {
	for i, e := range k.list(at+"/elements", b["elements"], 1, 10) {
		here := fmt.Sprintf("%s/elements/%d", at, i)
		if el, ok := e.(obj); ok && el["type"] == "image" {
			k.image(here, el)
			continue
		}
		k.text(here, e, true, 2000)
	}
}

func (k *checker) actions(at string, b obj, most int) {
	ids := map[string]bool{}
	for i, e := range k.list(at+"/elements", b["elements"], 1, most) {
		k.element(fmt.Sprintf("%s/elements/%d", at, i), e, ids)
	}
}

func (k *checker) image(at string, b obj) {
	if b["image_url"] == nil && b["slack_file"] == nil {
		k.fail(at, "missing required field: image_url or slack_file")
	}
	k.str(at+"/image_url", b["image_url"], false, 3000)
	k.str(at+"/alt_text", b["alt_text"], true, 2000)
	if b["title"] != nil {
		k.text(at+"/title", b["title"], true, 2000, "plain_text")
	}
}

// markdownBlock counts towards a limit for the whole payload.
func (k *checker) markdownBlock(at string, b obj) {
	text := k.str(at+"/text", b["text"], true, 0)
	if k.markdown += utf8.RuneCountInString(text); k.markdown > maxMarkdown {
		k.fail(at+"/text", "must be less than %d characters over all markdown blocks", maxMarkdown+1)
	}
}

func (k *checker) input(at string, b obj) {
	k.text(at+"/label", b["label"], true, 2000, "plain_text")
	if b["hint"] != nil {
		k.text(at+"/hint", b["hint"], true, 2000, "plain_text")
	}
	el, ok := b["element"].(obj)
	if !ok {
		k.fail(at+"/element", "missing required field: element")
		return
	}
	if kind, _ := el["type"].(string); inputElements[kind] {
		k.actionID(at+"/element", el, map[string]bool{})
		return
	}
	k.element(at+"/element", el, map[string]bool{})
}

// element checks one interactive element. ids are the action ids of its block.
func (k *checker) element(at string, e any, ids map[string]bool) {
	el, ok := e.(obj)
	kind, _ := el["type"].(string)
	if !ok || !actionElements[kind] {
		k.fail(at+"/type", "unsupported type: %s", kind)
		return
	}
	k.actionID(at, el, ids)
	switch kind {
	case "button", "workflow_button":
		k.text(at+"/text", el["text"], true, 75, "plain_text")
		k.str(at+"/value", el["value"], false, 2000)
		k.str(at+"/url", el["url"], false, 3000)
		if style, there := el["style"]; there && style != "primary" && style != "danger" {
			k.fail(at+"/style", "must be a valid enum value")
		}
	case "static_select", "multi_static_select":
		if el["option_groups"] == nil {
			k.options(at, el, 100)
		}
	case "checkboxes", "radio_buttons":
		k.options(at, el, 10)
	case "overflow":
		k.options(at, el, 5)
	}
	if p := el["placeholder"]; p != nil {
		k.text(at+"/placeholder", p, true, 150, "plain_text")
	}
	if c, there := el["confirm"]; there {
		k.confirm(at+"/confirm", c)
	}
}

func (k *checker) actionID(at string, el obj, ids map[string]bool) {
	id := k.str(at+"/action_id", el["action_id"], false, 255)
	if id == "" {
		el["action_id"] = k.server.blockID()
		return
	}
	if ids[id] {
		k.fail(at+"/action_id", "`action_id` \"%s\" already exists for another element", id)
	}
	ids[id] = true
}

func (k *checker) options(at string, el obj, most int) {
	for i, o := range k.list(at+"/options", el["options"], 1, most) {
		here := fmt.Sprintf("%s/options/%d", at, i)
		opt, ok := o.(obj)
		if !ok {
			k.fail(here, "must be an object")
			continue
		}
		k.text(here+"/text", opt["text"], true, 75)
		k.str(here+"/value", opt["value"], true, 150)
	}
}

func (k *checker) confirm(at string, c any) {
	dialog, ok := c.(obj)
	if !ok {
		k.fail(at, "must be an object")
		return
	}
	k.text(at+"/title", dialog["title"], true, 100, "plain_text")
	k.text(at+"/text", dialog["text"], true, 300)
	k.text(at+"/confirm", dialog["confirm"], true, 30, "plain_text")
	k.text(at+"/deny", dialog["deny"], true, 30, "plain_text")
}

// text checks a text object: its type, and that it has 1 to most characters.
func (k *checker) text(at string, v any, required bool, most int, kinds ...string) {
	t, ok := v.(obj)
	if !ok {
		if required || v != nil {
			k.fail(at, "must be a text object")
		}
		return
	}
	if kinds == nil {
		kinds = []string{"mrkdwn", "plain_text"}
	}
	if kind, _ := t["type"].(string); !slices.Contains(kinds, kind) {
		k.fail(at+"/type", "must be one of %s", strings.Join(kinds, ", "))
	}
	k.str(at+"/text", t["text"], true, most)
}

// str checks a string of at most most characters (zero is no limit).
func (k *checker) str(at string, v any, required bool, most int) string {
	s, ok := v.(string)
	switch {
	case v == nil && !required:
	case v == nil:
		k.fail(at, "missing required field: %s", at[strings.LastIndexByte(at, '/')+1:])
	case !ok:
		k.fail(at, "must be a string")
	case required && s == "":
		k.fail(at, "must be more than 0 characters")
	case most > 0 && utf8.RuneCountInString(s) > most:
		k.fail(at, "must be less than %d characters", most+1)
	}
	return s
}

// list checks a list for its length; most zero is no limit.
func (k *checker) list(at string, v any, least, most int) []any {
	l, ok := v.([]any)
	switch {
	case !ok:
		k.fail(at, "must be a list")
	case len(l) < least:
		k.fail(at, "no fewer than %d items allowed", least)
	case most > 0 && len(l) > most:
		k.fail(at, "no more than %d items allowed", most)
	}
	return l
}
