package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// Sinks take what Slack delivers. A delivery is acknowledged when its sink has
// returned nil, so that a sink makes durable what it is given.
type Sinks struct {
	Event  func(ctx context.Context, e Event) (stored bool, err error) // Inbox.Accept
	Change func(ctx context.Context, c Change) error                   // nil: not of interest
	Action func(ctx context.Context, a Action) error                   // nil: not of interest
	// Command answers by itself. Form says what is wrong with a form, by field; none
	// closes it. Both have answerTime.
	Command func(ctx context.Context, c Command) error
	Form    func(ctx context.Context, s Submission) (wrong map[string]string, err error)
	Visit   func(ctx context.Context, v Visit) error // nil: not of interest
	// Shortcut opens a form, or says why not; it has answerTime.
	Shortcut func(ctx context.Context, s Shortcut) error
}

// answerTime bounds the handling of what Slack wants answered within 3 s.
const answerTime = 2500 * time.Millisecond

// Counts says what became of deliveries since the start.
type Counts struct {
	Stored  int64 // made durable
	Known   int64 // were durable before, or not for the agent
	Ignored int64 // of a type or origin that is none of ours
	Bad     int64 // without the shape that Slack documents
	Refused int64 // could not be made durable: not acknowledged
}

// intake is the common path of all deliveries, by WebSocket and by HTTP.
type intake struct {
	self   func(workspace string) (Self, bool)
	sinks  Sinks
	logger zerolog.Logger

	stored, known, ignored, bad, refused atomic.Int64
}

func (in *intake) counts() Counts {
	return Counts{in.stored.Load(), in.known.Load(), in.ignored.Load(), in.bad.Load(), in.refused.Load()}
}

// take hands on what was parsed. nil means that the delivery may be
// acknowledged: it is durable, or Slack need not send it again. Whatever cannot
// be understood is acknowledged as well, for Slack would send it for ever.
// The answer goes with the acknowledgement; nil for none.
func (in *intake) take(ctx context.Context, p Parsed, err error) (answer any, _ error) {
	if err != nil {
		in.bad.Add(1)
		in.logger.Warn().Err(err).Msg("delivery not understood")
		return nil, nil
	}
	stored := false
	switch {
	case p.Event != nil:
		stored, err = in.sinks.Event(ctx, *p.Event)
	case p.Change != nil && in.sinks.Change != nil:
		stored, err = true, in.sinks.Change(ctx, *p.Change)
	case p.Action != nil && in.sinks.Action != nil:
		stored, err = true, in.sinks.Action(ctx, *p.Action)
	case p.Command != nil && in.sinks.Command != nil:
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		stored, err = true, in.sinks.Command(ctx, *p.Command)
	case p.Submission != nil && in.sinks.Form != nil:
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		var wrong map[string]string
		stored = true
		if wrong, err = in.sinks.Form(ctx, *p.Submission); len(wrong) > 0 {
			answer = map[string]any{"response_action": "errors", "errors": wrong}
		}
	case p.Visit != nil && in.sinks.Visit != nil:
		stored, err = true, in.sinks.Visit(ctx, *p.Visit)
	case p.Shortcut != nil && in.sinks.Shortcut != nil:
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		stored, err = true, in.sinks.Shortcut(ctx, *p.Shortcut)
	default:
		in.ignored.Add(1)
		in.logger.Debug().Str("what", p.Ignored).Msg("delivery ignored")
		return nil, nil
	}
	switch {
	case err != nil:
		in.refused.Add(1)
		in.logger.Error().Err(err).Msg("delivery not stored, so not acknowledged: Slack will send it again")
		return nil, err
	case stored:
		in.stored.Add(1)
	default:
		in.known.Add(1)
	}
	return answer, nil
}

// SocketOptions are what a Socket needs; zero numbers mean the usual ones.
type SocketOptions struct {
	APIURL      string // "" is Slack's own
	AppToken    string
	Connections int                                 // 0: two, so that one carries while the other is renewed
	Lanes       int                                 // deliveries worked at once; 0: 128
	Ping        time.Duration                       // a connection without a ping for so long is dead; 0: slack-go's 30 s
	Self        func(workspace string) (Self, bool) // who the agent is; false: not installed there
	Sinks       Sinks
	// Gap is called when the agent is connected again after it was deaf since the
	// given time (zero at the first connection). It must not block.
	Gap    func(since time.Time)
	Clock  func() time.Time // nil: time.Now
	Logger zerolog.Logger
}

// SocketState is how the Socket is, for /readyz and metrics.
type SocketState struct {
	Wanted     int       // connections
	Connected  int       // that said hello and have not ended
	LastHello  time.Time // zero before the first
	Reconnects int64     // beyond the first connection of each
	Counts     Counts
}

// Socket receives deliveries by Socket Mode, over several connections that share
// one inbox. Each is acknowledged after its sink has made it durable. Whether a
// connection lives is judged by Slack's pings, never by how recent its events are.
type Socket struct {
	o     SocketOptions
	in    *intake
	lanes []chan delivery
	seed  maphash.Seed

	mu         sync.Mutex
	connected  map[int]bool
	hello      time.Time
	deaf       time.Time    // since when no connection is there; zero while one is
	before     map[int]bool // connections that said hello at least once
	reconnects int64
}

// delivery is one envelope on its way to its sink.
type delivery struct {
	parsed Parsed
	err    error
	ack    func(ctx context.Context, answer any) error
}

const (
	defaultConnections = 2
	defaultLanes       = 128
	// laneLength is how many deliveries wait for their turn in a lane before the
	// connection is not read any further.
	laneLength = 16
)

// NewSocket returns a Socket; Run connects it.
func NewSocket(o SocketOptions) *Socket {
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.Lanes <= 0 {
		o.Lanes = defaultLanes
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Gap == nil {
		o.Gap = func(time.Time) {}
	}
	return &Socket{
		o: o, in: &intake{self: o.Self, sinks: o.Sinks, logger: o.Logger},
		lanes: make([]chan delivery, o.Lanes), seed: maphash.MakeSeed(), connected: map[int]bool{}, before: map[int]bool{},
	}
}

// State tells how the Socket is at this moment.
func (s *Socket) State() SocketState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SocketState{Wanted: s.o.Connections, Connected: len(s.connected), LastHello: s.hello, Reconnects: s.reconnects, Counts: s.in.counts()}
}

// Run keeps the connections up until ctx ends (then it returns nil, with all
// accepted deliveries stored) or Slack refuses the token for good (*TokenError).
func (s *Socket) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lanes sync.WaitGroup
	for i := range s.lanes {
		s.lanes[i] = make(chan delivery, laneLength)
		lanes.Go(func() { s.work(ctx, s.lanes[i]) })
	}
	var connections sync.WaitGroup
	for n := range s.o.Connections {
		connections.Go(func() {
			if err := s.connect(ctx, n); err != nil {
				cancel(err)
			}
		})
	}
	connections.Wait()
	for _, lane := range s.lanes {
		close(lane)
	}
	lanes.Wait()
	var dead *TokenError
	if err := context.Cause(ctx); errors.As(err, &dead) {
		return fmt.Errorf("receive by Socket Mode: %w", dead)
	}
	return nil
}

// connect keeps connection n up. slack-go closes it before it opens the next one,
// when Slack asks for a renewal; the other connections carry meanwhile.
func (s *Socket) connect(ctx context.Context, n int) error {
	options := []slack.Option{slack.OptionAppLevelToken(s.o.AppToken), slack.OptionHTTPClient(newHTTPClient()), slack.OptionLog(log.New(io.Discard, "", 0))}
	if s.o.APIURL != "" {
		options = append(options, slack.OptionAPIURL(withSlash(s.o.APIURL)))
	}
	var mode []socketmode.Option
	if s.o.Ping > 0 {
		mode = append(mode, socketmode.OptionPingInterval(s.o.Ping))
	}
	// slack-go's own log has the text of messages in it.
	mode = append(mode, socketmode.OptionLog(log.New(io.Discard, "", 0)))
	client := socketmode.New(slack.New("", options...), mode...)

	ended := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { s.read(ctx, n, client, ended) })
	err := client.RunContext(ctx)
	close(ended)
	reader.Wait()
	s.down(n)
	if ctx.Err() != nil {
		return nil
	}
	// Only a refusal for good ends RunContext while ctx lives.
	sorted := sortError("apps.connections.open", "app token", err)
	var dead *TokenError
	if errors.As(sorted, &dead) {
		return dead
	}
	return &TokenError{"app token", err.Error()}
}

// read takes what a connection brings until it has ended.
func (s *Socket) read(ctx context.Context, n int, client *socketmode.Client, ended <-chan struct{}) {
	for {
		select {
		case e := <-client.Events:
			s.event(ctx, n, client, e)
		case <-ended:
			return
		}
	}
}

func (s *Socket) event(ctx context.Context, n int, client *socketmode.Client, e socketmode.Event) {
	logger := s.o.Logger.With().Int("connection", n).Logger()
	switch e.Type {
	case socketmode.EventTypeConnecting:
		s.down(n)
	case socketmode.EventTypeHello:
		s.up(n)
		logger.Info().Msg("connected to Slack")
	case socketmode.EventTypeConnectionError:
		if c, ok := e.Data.(*slack.ConnectionErrorEvent); ok {
			logger.Warn().Err(withoutURL(c.ErrorObj)).Int("attempt", c.Attempt).Dur("retry_in", c.Backoff).Msg("connection to Slack failed")
		}
	case socketmode.EventTypeErrorWriteFailed:
		// Slack delivers again; the inbox knows it then.
		logger.Warn().Msg("acknowledgement not sent")
	case socketmode.EventTypeEventsAPI, socketmode.EventTypeInteractive, socketmode.EventTypeSlashCommand:
		s.dispatch(ctx, client, *e.Request)
	case socketmode.EventTypeErrorBadMessage:
		// slack-go knows neither the type nor how to acknowledge it; the envelope
		// says enough for both.
		bad, ok := e.Data.(*socketmode.ErrorBadMessage)
		if !ok {
			return
		}
		var r socketmode.Request
		if err := json.Unmarshal(bad.Message, &r); err != nil || r.EnvelopeID == "" {
			s.in.bad.Add(1)
			logger.Warn().Msg("envelope without an id")
			return
		}
		s.dispatch(ctx, client, r)
	}
}

// dispatch parses an envelope and puts it into the lane of its thread, so that
// what belongs together stays in order and the rest goes side by side.
func (s *Socket) dispatch(ctx context.Context, client *socketmode.Client, r socketmode.Request) {
	d := delivery{ack: func(ctx context.Context, answer any) error { return client.AckCtx(ctx, r.EnvelopeID, answer) }}
	lane := r.EnvelopeID
	switch r.Type {
	case socketmode.RequestTypeEventsAPI:
		d.parsed, d.err = ParseEvent(r.Payload, s.o.Self)
	case socketmode.RequestTypeInteractive:
		d.parsed, d.err = ParseInteraction(r.Payload, s.o.Self)
	case socketmode.RequestTypeSlashCommands:
		d.parsed, d.err = ParseCommand(r.Payload, s.o.Self)
	default:
		d.parsed = Parsed{Ignored: "envelope of type " + short(r.Type)}
	}
	if d.parsed.Event != nil {
		lane = d.parsed.Event.threadKey()
	}
	if r.RetryAttempt > 0 {
		s.o.Logger.Debug().Int("attempt", r.RetryAttempt).Str("reason", short(r.RetryReason)).Msg("delivered again")
	}
	select {
	case s.lanes[maphash.String(s.seed, lane)%uint64(len(s.lanes))] <- d:
	case <-ctx.Done():
	}
}

// work handles one lane.
func (s *Socket) work(ctx context.Context, lane <-chan delivery) {
	for d := range lane {
		// Without cancel: what was read is stored, also while the process ends.
		answer, err := s.in.take(context.WithoutCancel(ctx), d.parsed, d.err)
		if err != nil {
			continue
		}
		if err := d.ack(ctx, answer); err != nil && ctx.Err() == nil {
			s.o.Logger.Warn().Err(err).Msg("acknowledgement not sent")
		}
	}
}

// up notes that connection n said hello, and tells of a gap that ended with it.
func (s *Socket) up(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.connected) == 0 {
		s.o.Gap(s.deaf)
	}
	if s.before[n] && !s.connected[n] {
		s.reconnects++
	}
	s.connected[n], s.before[n], s.hello, s.deaf = true, true, s.o.Clock(), time.Time{}
}

func (s *Socket) down(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.connected[n] {
		return
	}
	delete(s.connected, n)
	if len(s.connected) == 0 {
		s.deaf = s.o.Clock()
	}
}
