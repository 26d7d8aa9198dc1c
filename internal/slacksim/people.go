package slacksim

import (
	"strings"
	"time"
)

// auth.test, users.*, bots.info and team.info.

func authTest(c *call) (obj, error) {
	u := c.who.user
	out := obj{"url": c.origin + "/", "team": c.team.Name, "user": u.name, "team_id": c.team.ID, "user_id": u.id, "is_enterprise_install": false}
	if c.who.kind == botToken {
		out["bot_id"], out["app_id"], out["app_name"] = c.who.app.BotID, c.who.app.ID, c.who.app.Name
	}
	return out, nil
}

func authRevoke(c *call) (obj, error) {
	if c.args.flag("test", false) {
		return obj{"revoked": false}, nil
	}
	if c.who.app == nil {
		return nil, refuse("not_allowed_token_type")
	}
	c.revoke(c.who.app)
	return obj{"revoked": true}, nil
}

// revoke ends an app's tokens; the app hears of it first.
func (s *Server) revoke(a *app) {
	if a.revoked {
		return
	}
	s.announceTo(a, "tokens_revoked", obj{"type": "tokens_revoked", "tokens": obj{"oauth": []string{}, "bot": []string{a.BotUser}}, "event_ts": s.eventTS()})
	a.revoked = true
}

// announceTo delivers an event of the workspace to one app, if it subscribes.
func (s *Server) announceTo(a *app, name string, event obj) {
	if !a.revoked && a.events[name] {
		s.send(a, event, nil)
	}
}

// icons are the pictures of apps. The emulator has one for all.
func (s *Server) icons() map[string]string {
	return map[string]string{"image_36": s.base + "/favicon.ico", "image_48": s.base + "/favicon.ico", "image_72": s.base + "/favicon.ico"}
}

// show is a user as the Web API shows them to a principal.
func (s *Server) show(who principal, u *user) obj {
	zone, err := time.LoadLocation(u.tz)
	if err != nil {
		zone = time.UTC
	}
	label, offset := s.clock.Now().In(zone).Zone()
	profile := obj{"title": "", "phone": "", "skype": "", "real_name": u.real, "real_name_normalized": u.real, "display_name": u.name,
		"display_name_normalized": u.name, "status_text": "", "status_emoji": "", "status_emoji_display_info": []any{}, "status_expiration": 0,
		"avatar_hash": strings.ToLower(u.id), "first_name": u.real, "last_name": "", "team": u.team, "status_text_canonical": ""}
	for _, size := range []string{"24", "32", "48", "72", "192", "512"} {
		profile["image_"+size] = s.base + "/favicon.ico"
	}
	if who.holds("users:read.email") == nil && u.bot == nil && u.email != "" {
		profile["email"] = u.email
	}
	if u.bot != nil {
		profile["api_app_id"], profile["bot_id"], profile["always_active"] = u.bot.ID, u.bot.BotID, true
	}
	o := obj{"id": u.id, "team_id": u.team, "name": u.name, "deleted": u.deleted, "color": "4bbe2e", "real_name": u.real, "tz": u.tz,
		"tz_label": label, "tz_offset": offset, "profile": profile, "is_admin": u.admin, "is_owner": u.owner, "is_primary_owner": u.owner,
		"is_restricted": u.restricted, "is_ultra_restricted": u.ultra, "is_bot": u.bot != nil, "is_app_user": false, "updated": u.updated,
		"is_email_confirmed": u.bot == nil, "who_can_share_contact_card": "EVERYONE"}
	if u.team != s.team.ID {
		o["is_stranger"] = !s.acquainted(who, u)
	}
	return o
}

// acquainted reports whether an outsider shares a channel with the caller.
func (s *Server) acquainted(who principal, u *user) bool {
	for _, id := range s.channelOrder {
		ch := s.channels[id]
		if ch.members[u.id] && who.user != nil && ch.members[who.user.id] {
			return true
		}
	}
	return false
}

func userInfo(c *call) (obj, error) {
	if err := c.args.need("user"); err != nil {
		return nil, err
	}
	u, ok := c.users[c.args["user"]]
	if !ok {
		return nil, refuse("user_not_found")
	}
	o := c.show(c.who, u)
	if c.args.flag("include_locale", false) {
		o["locale"] = "en-US"
	}
	return obj{"user": o}, nil
}

func userList(c *call) (obj, error) {
	all := make([]obj, 0, len(c.userOrder))
	for _, id := range c.userOrder {
		all = append(all, c.show(c.who, c.users[id]))
	}
	page, next, err := paginate(c.args, all, 1000)
	if err != nil {
		return nil, err
	}
	return obj{"members": page, "cache_ts": c.clock.Now().Unix(), "response_metadata": obj{"next_cursor": next}}, nil
}

func userByEmail(c *call) (obj, error) {
	if err := c.args.need("email"); err != nil {
		return nil, err
	}
	for _, id := range c.userOrder {
		if u := c.users[id]; u.bot == nil && strings.EqualFold(u.email, c.args["email"]) && !u.deleted {
			return obj{"user": c.show(c.who, u)}, nil
		}
	}
	return nil, refuse("users_not_found")
}

func botInfo(c *call) (obj, error) {
	id := c.args["bot"]
	for _, a := range c.apps {
		if id == a.BotID || id == "" && c.who.app == a {
			return obj{"bot": obj{"id": a.BotID, "deleted": a.revoked, "name": a.Name, "updated": c.users[a.BotUser].updated,
				"app_id": a.ID, "user_id": a.BotUser, "icons": c.icons()}}, nil
		}
	}
	return nil, refuse("bot_not_found")
}

func teamInfo(c *call) (obj, error) {
	if id := c.args["team"]; id != "" && id != c.team.ID {
		return nil, refuse("team_not_found")
	}
	icon := obj{"image_default": true}
	for _, size := range []string{"34", "44", "68", "88", "102", "132", "230"} {
		icon["image_"+size] = c.base + "/favicon.ico"
	}
	return obj{"team": obj{"id": c.team.ID, "name": c.team.Name, "domain": c.team.Domain, "email_domain": "", "icon": icon,
		"url": c.origin + "/", "is_verified": false, "avatar_base_url": c.origin + "/"}}, nil
}
