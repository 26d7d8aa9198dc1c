package slacksim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// usergroups.*: named groups of people, such as @oncall.

// GroupSeed is one user group of a seed.
type GroupSeed struct {
	ID     string   `yaml:"id"`
	Handle string   `yaml:"handle"`
	Name   string   `yaml:"name"`
	Users  []string `yaml:"users"`
}

func completeGroup(g *GroupSeed, ids map[string]string, claim func(kind, id, letters string) error) error {
	if err := claim("user group", g.ID, "S"); err != nil {
		return err
	}
	g.Handle = orElse(g.Handle, strings.ToLower(g.ID[1:]))
	g.Name = orElse(g.Name, g.Handle)
	for _, u := range g.Users {
		if ids[u] != "user" {
			return fmt.Errorf("user group %s: %q is no user of the seed", g.ID, u)
		}
	}
	return nil
}

func groupList(c *call) (obj, error) {
	made := c.users[c.userOrder[0]].updated
	all := make([]obj, 0, len(c.groups))
	for _, g := range c.groups {
		o := obj{"id": g.ID, "team_id": c.team.ID, "is_usergroup": true, "is_subteam": true, "is_external": false, "name": g.Name, "description": "",
			"handle": g.Handle, "date_create": made, "date_update": made, "date_delete": 0, "auto_type": nil, "auto_provision": false,
			"enterprise_subteam_id": "", "created_by": c.userOrder[0], "updated_by": c.userOrder[0], "deleted_by": nil,
			"prefs": obj{"channels": []string{}, "groups": []string{}}}
		if c.args.flag("include_users", false) {
			o["users"] = g.Users
		}
		if c.args.flag("include_count", false) {
			o["user_count"] = len(g.Users)
		}
		all = append(all, o)
	}
	return obj{"usergroups": all}, nil
}

func groupMembers(c *call) (obj, error) {
	if err := c.args.need("usergroup"); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.groups, func(g GroupSeed) bool { return g.ID == c.args["usergroup"] })
	if i < 0 {
		return nil, refuse("no_such_subteam")
	}
	return obj{"users": c.groups[i].Users}, nil
}

// serveGroup sets who is in a user group.
func (s *Server) serveGroup(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Group string   `json:"usergroup"`
		Users []string `json:"users"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g GroupSeed) bool { return g.ID == in.Group })
	if i < 0 {
		replyControl(w, nil, refuse("no_such_subteam"))
		return
	}
	for _, u := range in.Users {
		if s.users[u] == nil {
			replyControl(w, nil, refuse("user_not_found"))
			return
		}
	}
	s.groups[i].Users = slices.Clone(in.Users)
	replyControl(w, nil, nil)
}
