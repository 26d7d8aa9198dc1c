package slacksim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options say how a workspace behaves. The zero value is the demo's workspace in
// real time with Slack's rate limits.
type Options struct {
	Seed   *Seed  // nil is DefaultSeed
	Clock  *Clock // nil is real time
	Logger zerolog.Logger

	// RateLimitsOff lets every call through, for load benchmarks. A seed can say
	// the same with `rate_limits: off`.
	RateLimitsOff bool
	// MaxMessages is how many messages a channel keeps; zero is 200,000.
	MaxMessages int
	// AckTimeout is how long an app has to acknowledge; zero is Slack's 3 s.
	AckTimeout time.Duration
	// Redelivery is the wait before each redelivery of an event that was not
	// acknowledged; nil is Slack's: at once, after a minute, after five.
	Redelivery []time.Duration
	// PingEvery is the interval of WebSocket pings; zero is 10 s. Clients give up
	// after 30 s without one.
	PingEvery time.Duration
	// AllowNonLoopback lets Start listen where other machines can reach it. There
	// is no authentication worth the name here.
	AllowNonLoopback bool
}

const (
	defaultMaxMessages = 200_000
	defaultAckTimeout  = 3 * time.Second
	defaultPing        = 10 * time.Second
	maxBody            = 20 << 20 // bytes of one request, files included
)

func (o *Options) complete() {
	if o.Clock == nil {
		o.Clock = NewClock()
	}
	if o.MaxMessages == 0 {
		o.MaxMessages = defaultMaxMessages
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = defaultAckTimeout
	}
	if o.Redelivery == nil {
		o.Redelivery = []time.Duration{0, time.Minute, 5 * time.Minute}
	}
	if o.PingEvery == 0 {
		o.PingEvery = defaultPing
	}
}

// Server is one workspace. It is an http.Handler, safe for concurrent use.
type Server struct {
	options Options
	clock   *Clock
	log     zerolog.Logger
	now     func() time.Time // real time, for whatever belongs to the transport
	nonce   string           // makes the ids of one server differ from another's
	mux     *http.ServeMux
	methods map[string]method
	faults  *faults
	calls   *callLog
	feed    *feed
	oauth   *oauthCodes

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	http   *http.Server
	base   string // "http://host:port" once Start has run
	wg     sync.WaitGroup

	mu           sync.Mutex // guards all below, and the order of events
	team         TeamSeed
	apps         []*app
	users        map[string]*user
	userOrder    []string
	groups       []GroupSeed
	channels     map[string]*channel
	channelOrder []string
	directs      map[string]string // sorted member ids → channel id
	tokens       map[string]principal
	serial       int64
	views        map[string]*view
	triggers     map[string]*trigger
	responses    map[string]*responseURL
	files        map[string]*file
	fileOrder    []string
	fileBytes    int64
	tickets      map[string]ticket
}

// New builds a workspace. It serves through ServeHTTP at once; Start is only for
// a listener of its own.
func New(o Options) (*Server, error) {
	o.complete()
	seed := o.Seed
	if seed == nil {
		seed = DefaultSeed()
	}
	if err := seed.complete(); err != nil {
		return nil, fmt.Errorf("check seed: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		options: o, clock: o.Clock, log: o.Logger, now: time.Now, nonce: strings.ToUpper(rand.Text()[:4]),
		faults: newFaults(), calls: newCallLog(), oauth: newOAuthCodes(), ctx: ctx, cancel: cancel,
		users: map[string]*user{}, channels: map[string]*channel{}, directs: map[string]string{}, tokens: map[string]principal{},
		views: map[string]*view{}, triggers: map[string]*trigger{}, responses: map[string]*responseURL{},
		files: map[string]*file{}, tickets: map[string]ticket{},
	}
	s.feed = newFeed()
	s.methods = methodTable()
	s.populate(seed)
	s.routes()
	if err := s.postSeed(seed.Messages); err != nil {
		cancel()
		return nil, err
	}
	return s, nil
}

// routes binds every path that the server answers.
func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("/api/{method}", s.serveMethod)
	s.mux.HandleFunc("GET /link/{ticket}", s.serveSocket)
	s.mux.HandleFunc("POST /response/{id}", s.serveResponseURL)
	s.mux.HandleFunc("POST /upload/{ticket}", s.serveUpload)
	s.mux.HandleFunc("GET /files/{id}/{name}", s.serveFile)
	s.mux.HandleFunc("GET /archives/{channel}/{message}", s.servePermalink)
	s.mux.HandleFunc("GET /oauth/v2/authorize", s.serveAuthorize)
	s.routeControl()
	s.mux.Handle("/", pageHandler())
}

// ServeHTTP answers everything: the Web API, Socket Mode, the page and the
// emulator's own controls.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.trusted(r) {
		http.Error(w, "this workspace answers only its own page and local clients", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// slackOrigin is the origin that slack-go names when it opens a WebSocket.
const slackOrigin = "https://api.slack.com"

// trusted turns away what a foreign web page makes a browser send: cross-origin
// requests, and names that point at this machine (DNS rebinding). Everyone's
// token is known here, so that the origin is all there is to go by.
func (s *Server) trusted(r *http.Request) bool {
	if o := r.Header.Get("Origin"); o != "" && o != slackOrigin && o != "http://"+r.Host && o != "https://"+r.Host {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return s.options.AllowNonLoopback || isLoopback(strings.Trim(host, "[]"))
}

// Start listens on addr (port 0 picks one) and serves until ctx ends or Close is
// called. It returns the address as a URL without a trailing slash.
func (s *Server) Start(ctx context.Context, addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("read address %q: %w", addr, err)
	}
	if !s.options.AllowNonLoopback && !isLoopback(host) {
		return "", fmt.Errorf("listen on %q: not a loopback address; this server lets anyone act as anyone", addr)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %q: %w", addr, err)
	}
	s.base = "http://" + ln.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.wg.Go(func() {
		if err := s.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Msg("the workspace stopped serving")
		}
	})
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	context.AfterFunc(s.ctx, func() { stop() })
	return s.base, nil
}

// Close ends every connection and waits for the listener to stop. It may be
// called more than once.
func (s *Server) Close() error {
	s.cancel()
	for _, a := range s.apps {
		a.hub.close()
		a.hook.close()
	}
	s.feed.close()
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	s.wg.Wait()
	if err != nil {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

// BotToken is the bot token of the first app.
func (s *Server) BotToken() string { return s.first().BotToken }

// AppToken is the app-level token of the first app.
func (s *Server) AppToken() string { return s.first().AppToken }

// SigningSecret is what HTTP deliveries to the first app are signed with.
func (s *Server) SigningSecret() string { return s.first().SigningSecret }

// first is the first app of the workspace, or an empty one.
func (s *Server) first() AppSeed {
	if len(s.apps) == 0 {
		return AppSeed{}
	}
	return s.apps[0].AppSeed
}

// Say posts text as a person, as the page does, without HTTP between: what load
// benchmarks call. threadTS is empty for a message of its own. It returns the
// timestamp of the message.
func (s *Server) Say(userID, channelID, text, threadTS string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[userID]
	if !ok {
		return "", fmt.Errorf("say as %s: user_not_found", userID)
	}
	who := principal{kind: userToken, user: u}
	m, err := s.post(who, draft{channel: channelID, text: text, threadTS: threadTS})
	if err != nil {
		return "", fmt.Errorf("say as %s in %s: %w", userID, channelID, err)
	}
	return m.TS, nil
}

// postSeed writes the messages that the seed holds, in order.
func (s *Server) postSeed(list []MessageSeed) error {
	stamps := make([]string, len(list))
	for i, m := range list {
		thread := ""
		if m.Thread > 0 {
			thread = stamps[m.Thread-1]
		}
		ts, err := s.Say(m.User, m.Channel, m.Text, thread)
		if err != nil {
			return fmt.Errorf("post seed message %d: %w", i+1, err)
		}
		stamps[i] = ts
	}
	return nil
}

// origin is where this server is reached, as the caller of r sees it.
func (s *Server) origin(r *http.Request) string {
	if s.base != "" {
		return s.base
	}
	return "http://" + r.Host
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// encode is v as JSON. Values are our own types, so that it cannot fail; if one
// does, that is a bug worth a crash in tests and an empty object in Slack's place.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("slacksim: encode %T: %v", v, err))
	}
	return b
}

// reply writes v as JSON with a status.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v))
}
