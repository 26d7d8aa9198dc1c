package slacksim

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	triggerLife = 3 * time.Second
	maxStack    = 3       // modals above each other
	maxView     = 250_000 // bytes
	maxViews    = 10_000  // kept open at once
	maxState    = 3_000   // characters of private_metadata
)

// trigger lets an app open one modal for one person, for three seconds.
type trigger struct {
	app     *app
	user    string
	expires time.Time // real time
	used    bool
}

// view is a modal or a Home tab.
type view struct {
	ID              string          `json:"id"`
	TeamID          string          `json:"team_id"`
	Type            string          `json:"type"`
	Title           obj             `json:"title,omitempty"`
	Submit          obj             `json:"submit,omitempty"`
	Close           obj             `json:"close,omitempty"`
	Blocks          json.RawMessage `json:"blocks"`
	PrivateMetadata string          `json:"private_metadata"`
	CallbackID      string          `json:"callback_id"`
	ExternalID      string          `json:"external_id"`
	State           obj             `json:"state"`
	Hash            string          `json:"hash"`
	ClearOnClose    bool            `json:"clear_on_close"`
	NotifyOnClose   bool            `json:"notify_on_close"`
	SubmitDisabled  bool            `json:"submit_disabled"`
	RootViewID      string          `json:"root_view_id"`
	PreviousViewID  string          `json:"previous_view_id,omitempty"`
	AppID           string          `json:"app_id"`
	InstalledTeam   string          `json:"app_installed_team_id"`
	BotID           string          `json:"bot_id"`

	user string
	app  *app
}

// newTrigger makes a trigger id for an interaction.
func (s *Server) newTrigger(a *app, userID string) string {
	now := s.now()
	for id, t := range s.triggers {
		if now.Sub(t.expires) > time.Minute {
			delete(s.triggers, id)
		}
	}
	id := s.newID("T") + "." + s.team.ID + "." + s.nonce
	s.triggers[id] = &trigger{app: a, user: userID, expires: now.Add(triggerLife)}
	return id
}

// pull uses up the trigger of a call.
func (c *call) pull() (string, error) {
	id := orElse(c.args["trigger_id"], c.args["interactivity_pointer"])
	if id == "" {
		return "", c.args.need("trigger_id")
	}
	t, ok := c.triggers[id]
	switch {
	case !ok || t.app != c.who.app:
		return "", refuse("invalid_trigger_id")
	case t.used:
		return "", refuse("exchanged_trigger_id")
	case c.now().After(t.expires):
		return "", refuse("expired_trigger_id")
	}
	t.used = true
	return t.user, nil
}

// parseView checks the view of a call.
func (c *call) parseView(kinds ...string) (*view, error) {
	if err := c.args.need("view"); err != nil {
		return nil, err
	}
	return c.checkView(c.who.app, c.args["view"], kinds...)
}

// checkView refuses a view that Slack would refuse.
func (s *Server) checkView(a *app, raw string, kinds ...string) (*view, error) {
	if len(raw) > maxView {
		return nil, refuse("view_too_large")
	}
	v := &view{TeamID: s.team.ID, AppID: a.ID, BotID: a.BotID, InstalledTeam: s.team.ID, app: a}
	if json.Unmarshal([]byte(raw), v) != nil {
		return nil, refuse("invalid_arguments", "[ERROR] must be a view object [json-pointer:/view]")
	}
	k := &checker{server: s}
	if !slices.Contains(kinds, v.Type) {
		k.fail("/view/type", "unsupported type: %s", v.Type)
	}
	on := onModal
	if v.Type == "home" {
		on = onHome
	} else {
		k.text("/view/title", anyObj(v.Title), true, 24, "plain_text")
	}
	for name, label := range map[string]obj{"submit": v.Submit, "close": v.Close} {
		if label != nil {
			k.text("/view/"+name, label, true, 24, "plain_text")
		}
	}
	if utf8.RuneCountInString(v.PrivateMetadata) > maxState {
		k.fail("/view/private_metadata", "must be less than %d characters", maxState+1)
	}
	if utf8.RuneCountInString(v.CallbackID) > 255 {
		k.fail("/view/callback_id", "must be less than 256 characters")
	}
	if k.problems != nil {
		return nil, refuse("invalid_arguments", k.problems...)
	}
	blocks, err := s.checkBlocks(string(v.Blocks), on)
	if err != nil {
		return nil, refuse("invalid_arguments", err.(*apiError).messages...)
	}
	v.Blocks = blocks
	if v.Blocks == nil {
		v.Blocks = json.RawMessage("[]")
	}
	if v.Type == "modal" && v.Submit == nil && hasInput(blocks) {
		return nil, refuse("invalid_arguments", "[ERROR] missing required field: submit, as the view has input blocks [json-pointer:/view/submit]")
	}
	v.State = obj{"values": obj{}}
	return v, nil
}

func anyObj(o obj) any {
	if o == nil {
		return nil
	}
	return o
}

func hasInput(blocks json.RawMessage) bool {
	var list []struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(blocks, &list) == nil && slices.ContainsFunc(list, func(b struct {
		Type string `json:"type"`
	}) bool {
		return b.Type == "input"
	})
}

// keep gives a view its identity and shows it to its person.
func (s *Server) keep(v *view, userID string, previous *view) {
	v.ID, v.user = s.newID("V"), userID
	v.RootViewID = v.ID
	if previous != nil {
		v.PreviousViewID, v.RootViewID = previous.ID, previous.RootViewID
	}
	if len(s.views) >= maxViews {
		for id := range s.views {
			delete(s.views, id)
			break
		}
	}
	s.views[v.ID] = v
	s.showView(v)
}

// showView stamps a view's hash and tells its person's page.
func (s *Server) showView(v *view) {
	v.Hash = formatTS(s.clock.Now().UnixMicro()) + "." + s.newID("H")
	s.feed.publish(entry{kind: "view", user: v.user, extra: obj{"view": *v}})
}

func openView(c *call) (obj, error) {
	v, err := c.parseView("modal")
	if err != nil {
		return nil, err
	}
	userID, err := c.pull()
	if err != nil {
		return nil, err
	}
	if c.taken(v) {
		return nil, refuse("duplicate_external_id")
	}
	c.keep(v, userID, nil)
	return obj{"view": *v}, nil
}

func (s *Server) taken(v *view) bool {
	for _, other := range s.views {
		if v.ExternalID != "" && other.ExternalID == v.ExternalID && other.app == v.app {
			return true
		}
	}
	return false
}

func pushView(c *call) (obj, error) {
	v, err := c.parseView("modal")
	if err != nil {
		return nil, err
	}
	userID, err := c.pull()
	if err != nil {
		return nil, err
	}
	top := c.topView(c.who.app, userID)
	if top == nil {
		return nil, refuse("not_found")
	}
	if c.depth(top) >= maxStack {
		return nil, refuse("push_limit_reached")
	}
	c.keep(v, userID, top)
	return obj{"view": *v}, nil
}

// topView is the modal that a person sees of an app: the one nothing lies above.
func (s *Server) topView(a *app, userID string) *view {
	var top *view
	for _, v := range s.views {
		if v.app == a && v.user == userID && v.Type == "modal" && (top == nil || len(v.ID) > len(top.ID) || len(v.ID) == len(top.ID) && v.ID > top.ID) {
			top = v
		}
	}
	return top
}

func (s *Server) depth(v *view) int {
	n := 1
	for v = s.views[v.PreviousViewID]; v != nil && n < maxStack; v = s.views[v.PreviousViewID] {
		n++
	}
	return n
}

func updateView(c *call) (obj, error) {
	next, err := c.parseView("modal", "home")
	if err != nil {
		return nil, err
	}
	old := c.views[c.args["view_id"]]
	if old == nil && c.args.has("external_id") {
		for _, v := range c.views {
			if v.ExternalID == c.args["external_id"] && v.app == c.who.app {
				old = v
			}
		}
	}
	switch {
	case !c.args.has("view_id") && !c.args.has("external_id"):
		return nil, c.args.need("view_id")
	case old == nil || old.app != c.who.app || old.Type != next.Type:
		return nil, refuse("not_found")
	case c.args.has("hash") && c.args["hash"] != old.Hash:
		return nil, refuse("hash_conflict")
	}
	c.swap(old, next)
	return obj{"view": *next}, nil
}

// swap puts next in the place of old.
func (s *Server) swap(old, next *view) {
	next.ID, next.user, next.RootViewID, next.PreviousViewID = old.ID, old.user, old.RootViewID, old.PreviousViewID
	s.views[next.ID] = next
	s.showView(next)
}

func publishView(c *call) (obj, error) {
	if err := c.args.need("user_id"); err != nil {
		return nil, err
	}
	next, err := c.parseView("home")
	if err != nil {
		return nil, err
	}
	u, ok := c.users[c.args["user_id"]]
	if !ok || u.bot != nil {
		return nil, refuse("invalid_arguments", "[ERROR] user not found [json-pointer:/user_id]")
	}
	old := c.who.app.homes[u.id]
	if old == nil {
		c.keep(next, u.id, nil)
	} else {
		if c.args.has("hash") && c.args["hash"] != old.Hash {
			return nil, refuse("hash_conflict")
		}
		c.swap(old, next)
	}
	c.who.app.homes[u.id] = next
	return obj{"view": *next}, nil
}

// closeViews removes a modal, or the whole stack it is in.
func (s *Server) closeViews(v *view, all bool) {
	for id, other := range s.views {
		if id == v.ID || all && other.RootViewID == v.RootViewID {
			delete(s.views, id)
			s.feed.publish(entry{kind: "view", user: v.user, extra: obj{"view_id": id, "closed": true}})
		}
	}
}
