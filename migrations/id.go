package migrations

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

// NewID returns prefix followed by ten random lower-case base32 characters
// (50 bits).
func NewID(prefix string) string {
	var b [7]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:10]
}

// Micros is t as the store keeps times: microseconds since 1970 UTC, the zero
// time as 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the time of a stored number, the inverse of Micros.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
