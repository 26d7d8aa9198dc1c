// Package slacksim is a Slack workspace on localhost: the Web API, Socket Mode,
// signed HTTP events, interactivity, and a page on which people talk.
//
// It promises to be strict. What Slack would refuse, it refuses, with Slack's
// error code; what Slack would deliver, it delivers, in Slack's shapes, twice
// where Slack would deliver twice. Anything that works here by a liberty that
// Slack does not grant is a bug of this package.
//
// Two clocks run. Message timestamps, edits and event times follow a [Clock]
// that can be moved; whatever belongs to the transport (acknowledgements,
// redelivery, pings, rate windows, trigger lifetimes) follows real time, so that
// moving the clock never breaks a connection. Timestamps stay unique and rising
// within a channel even when the clock is set back.
//
// It must never listen beyond loopback unless told to, never keep more than its
// bounds allow, and never import another package of this module: the product has
// to work against Slack, not against knowledge of this server.
package slacksim
