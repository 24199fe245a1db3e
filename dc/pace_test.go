package dc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const aPage = 10 * time.Millisecond

// makePages has a node make pages one after the other, and returns how long each
// took, its pause included. Clients are served meanwhile, at a latency.
func makePages(t *testing.T, p *pace, n int, latency time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for range n {
		if latency > 0 {
			for range paceSample {
				p.took(latency, time.Now())
			}
		}
		err := p.page(t.Context(), time.Now, func() (int, error) { time.Sleep(aPage); return 128 << 10, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began) / time.Duration(n)
}

// Pages that are taken from a node give way to its clients: the more, the more
// these feel of them.
func TestPagesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		if got := makePages(t, p, 10, 0); got != aPage {
			t.Errorf("without clients a page took %v, want %v", got, aPage)
		}
		time.Sleep(time.Minute)
		for range paceSample {
			p.took(4*time.Millisecond, time.Now()) // what is usual
		}
		if got := makePages(t, p, 10, 4*time.Millisecond); got != 2*aPage {
			t.Errorf("beside clients that feel nothing a page took %v, want %v", got, 2*aPage)
		}
		if got := makePages(t, p, 10, 40*time.Millisecond); got < 10*aPage || got > aPage+paceSlowest {
			t.Errorf("beside clients that wait a page took %v, want %v to %v", got, 10*aPage, aPage+paceSlowest)
		}
		if makePages(t, p, 50, 4*time.Millisecond); p.factor != 1 {
			t.Errorf("clients feel nothing any more, and the pause is %v times a page", p.factor)
		}
		time.Sleep(time.Minute)
		if got := makePages(t, p, 10, 0); got != aPage {
			t.Errorf("after the clients a page took %v, want %v", got, aPage)
		}
	})
}

// Small pages, which are what nodes level each other with all the time, are not
// delayed, and do not count as pages.
func TestSmallPagesAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		time.Sleep(time.Minute)
		began := time.Now()
		for range 10 {
			p.took(time.Millisecond, time.Now())
			if err := p.page(t.Context(), time.Now, func() (int, error) { return 100, nil }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 || !p.paged.IsZero() {
			t.Errorf("10 small pages took %v; a page is noted at %v", took, p.paged)
		}
	})
}

// A page is given up when nobody waits for it any more, or when it cannot be read.
func TestPagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.took(time.Millisecond, time.Now())
		damaged := errors.New("damaged")
		if err := p.page(t.Context(), time.Now, func() (int, error) { return 0, damaged }); !errors.Is(err, damaged) {
			t.Errorf("page = %v, want what went wrong", err)
		}
		p.turn <- struct{}{} // another page is being made
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := p.page(ctx, time.Now, func() (int, error) { return 0, nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("page = %v, want the end of its time", err)
		}
		<-p.turn
	})
}
