package bot

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacePosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(DefaultPost, DefaultUpdate)
		begin := time.Now()
		took := func(channel string) time.Duration {
			if err := p.Post(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		for i, c := range []struct {
			channel string
			want    time.Duration
		}{{"C1", 0}, {"C2", 0}, {"C1", time.Second}, {"C1", 2 * time.Second}, {"C2", 2 * time.Second}} {
			if got := took(c.channel); got != c.want {
				t.Errorf("post %d in %s went after %s, want %s", i, c.channel, got, c.want)
			}
		}
		p.Silence(30 * time.Second)
		if got, want := took("C9"), 32*time.Second; got != want {
			t.Errorf("a post during a silence went after %s, want %s", got, want)
		}
	})
}

func TestPaceUpdatesKeepTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(DefaultPost, DefaultUpdate)
		begin := time.Now()
		if ok, err := p.Update(t.Context(), "C1:1"); !ok || err != nil {
			t.Fatalf("the first update: got %v, %v; want its turn at once", ok, err)
		}
		turns := make([]bool, 3)
		done := make(chan struct{})
		for i := range turns {
			go func() {
				var err error
				if turns[i], err = p.Update(t.Context(), "C1:1"); err != nil {
					t.Error(err)
				}
				done <- struct{}{}
			}()
			synctest.Wait() // they come one after another
		}
		for range turns {
			<-done
		}
		if turns[0] || turns[1] || !turns[2] {
			t.Errorf("who got the next turn: %v, want the last only", turns)
		}
		if got := time.Since(begin); got != DefaultUpdate {
			t.Errorf("the next update went after %s, want %s", got, DefaultUpdate)
		}
	})
}

func TestPaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(DefaultPost, DefaultUpdate)
		p.Silence(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Post(ctx, "C1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("post: got %v, want the context's error", err)
		}
		if ok, err := p.Update(ctx, "C1:1"); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("update: got %v, %v; want the context's error", ok, err)
		}
	})
}
