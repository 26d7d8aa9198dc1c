package slacksim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
)

const (
	maxFile      = 16 << 20 // bytes of one file
	maxFileBytes = 64 << 20 // of all; the oldest lose their content first
)

// file is an uploaded file. Its fields are fixed once it is shared.
type file struct {
	ID          string `json:"id"`
	Created     int64  `json:"created"`
	Timestamp   int64  `json:"timestamp"`
	Name        string `json:"name"`
	Title       string `json:"title"`
	Mimetype    string `json:"mimetype"`
	Filetype    string `json:"filetype"`
	PrettyType  string `json:"pretty_type"`
	User        string `json:"user"`
	UserTeam    string `json:"user_team"`
	Editable    bool   `json:"editable"`
	Size        int    `json:"size"`
	Mode        string `json:"mode"`
	IsExternal  bool   `json:"is_external"`
	IsPublic    bool   `json:"is_public"`
	URLPrivate  string `json:"url_private"`
	URLDownload string `json:"url_private_download"`
	Permalink   string `json:"permalink"`

	ticket   string // names the upload URL
	promised int    // the length announced for the upload
	content  []byte
	complete bool
	shared   map[string]bool // channel ids
}

func getUploadURL(c *call) (obj, error) {
	if err := c.args.need("filename", "length"); err != nil {
		return nil, err
	}
	size := c.args.number("length", 0, 0, maxFile+1)
	switch {
	case size == 0:
		return nil, refuse("invalid_arguments", "[ERROR] must be more than 0 [json-pointer:/length]")
	case size > maxFile:
		return nil, refuse("file_too_large")
	}
	name := path.Base(c.args["filename"])
	kind := strings.TrimPrefix(path.Ext(name), ".")
	f := &file{ID: c.newID("F"), Name: name, Title: name, User: c.who.user.id, UserTeam: c.who.user.team, promised: size, ticket: rand.Text(),
		Created: c.clock.Now().Unix(), Timestamp: c.clock.Now().Unix(), Filetype: orElse(kind, "binary"), PrettyType: strings.ToUpper(orElse(kind, "binary")),
		Mimetype: orElse(mime.TypeByExtension(path.Ext(name)), "application/octet-stream"), Mode: "hosted", shared: map[string]bool{}}
	f.URLPrivate = c.origin + "/files/" + f.ID + "/" + name
	f.URLDownload, f.Permalink = f.URLPrivate, f.URLPrivate
	c.files[f.ID] = f
	c.fileOrder = append(c.fileOrder, f.ID)
	return obj{"upload_url": c.origin + "/upload/" + f.ticket, "file_id": f.ID}, nil
}

// serveUpload takes the bytes of a file, raw or as a form.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	body, err := uploadBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	content, err := io.ReadAll(io.LimitReader(body, maxFile+1))
	if err != nil {
		http.Error(w, "the upload broke off", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.ticket != r.PathValue("ticket") || f.complete {
			continue
		}
		if len(content) != f.promised {
			http.Error(w, "the length is not what was announced", http.StatusBadRequest)
			return
		}
		s.fileBytes += int64(len(content) - len(f.content))
		f.content, f.Size = content, len(content)
		s.makeRoom()
		_, _ = io.WriteString(w, "OK - "+f.Name)
		return
	}
	http.Error(w, "unknown upload", http.StatusNotFound)
}

// uploadBody is the content of an upload: the body, or the first file of a form,
// whatever its field is called.
func uploadBody(r *http.Request) (io.Reader, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return r.Body, nil
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("read form: %w", err)
	}
	for {
		part, err := parts.NextPart()
		if err != nil {
			return nil, fmt.Errorf("find a file in the form: %w", err)
		}
		if part.FileName() != "" {
			return part, nil
		}
	}
}

// makeRoom drops the content of the oldest files beyond the bound.
func (s *Server) makeRoom() {
	for len(s.fileOrder) > 1 && s.fileBytes > maxFileBytes {
		if f := s.files[s.fileOrder[0]]; f != nil {
			s.fileBytes -= int64(len(f.content))
			delete(s.files, f.ID)
		}
		s.fileOrder = s.fileOrder[1:]
	}
}

func completeUpload(c *call) (obj, error) {
	if err := c.args.need("files"); err != nil {
		return nil, err
	}
	var wanted []struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	if json.Unmarshal([]byte(c.args["files"]), &wanted) != nil || len(wanted) == 0 {
		return nil, refuse("invalid_arguments", "[ERROR] must be a list of files [json-pointer:/files]")
	}
	var done []*file
	for _, x := range wanted {
		f, ok := c.files[x.ID]
		if !ok || f.complete || f.User != c.who.user.id || f.content == nil {
			return nil, refuse("file_not_found")
		}
		next := *f
		next.Title, next.complete, next.shared = orElse(x.Title, f.Name), true, map[string]bool{}
		done = append(done, &next)
	}
	targets := c.args.list("channels")
	if c.args.has("channel_id") {
		targets = append(targets, c.args["channel_id"])
	}
	comment, blocks := c.args["initial_comment"], c.args["blocks"]
	if comment != "" {
		blocks = "" // docs.slack.dev/reference/methods/files.completeUploadExternal
	}
	for _, t := range targets {
		ch, err := c.destination(c.who, t)
		if err != nil {
			return nil, err
		}
		for _, f := range done {
			f.shared[ch.id] = true
			f.IsPublic = f.IsPublic || !ch.private
		}
		if _, err := c.post(c.who, draft{channel: ch.id, text: comment, blocks: blocks, threadTS: c.args["thread_ts"],
			subtype: "file_share", files: done}); err != nil {
			return nil, err
		}
		for _, f := range done {
			c.announce("file_shared", obj{"type": "file_shared", "file_id": f.ID, "user_id": f.User, "file": obj{"id": f.ID},
				"channel_id": ch.id, "event_ts": c.eventTS()}, ch, "files:read")
		}
	}
	for _, f := range done {
		c.files[f.ID] = f
	}
	return obj{"files": done}, nil
}

// visible reports whether a principal may open a file: its owner, and whoever
// sees a channel it was shared in.
func (s *Server) visible(who principal, f *file) bool {
	if f.User == who.user.id {
		return true
	}
	for id := range f.shared {
		if s.sees(who.user, s.channels[id]) {
			return true
		}
	}
	return false
}

func fileInfo(c *call) (obj, error) {
	if err := c.args.need("file"); err != nil {
		return nil, err
	}
	f, ok := c.files[c.args["file"]]
	if !ok || !f.complete || !c.visible(c.who, f) {
		return nil, refuse("file_not_found")
	}
	return obj{"file": f, "comments": []any{}, "response_metadata": obj{"next_cursor": ""}}, nil
}

// serveFile sends the bytes of a file to whoever may see it.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	who, err := s.authenticate(orElse(token, r.URL.Query().Get("token")), method{tokens: botToken | userToken})
	f, ok := s.files[r.PathValue("id")]
	allowed := err == nil && ok && f.complete && who.holds("files:read") == nil && s.visible(who, f)
	s.mu.Unlock()
	if !allowed {
		// Slack redirects to its sign-in page, with the path of the file.
		http.Redirect(w, r, "/?redir="+r.URL.Path, http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", f.Mimetype)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	_, _ = w.Write(f.content)
}
