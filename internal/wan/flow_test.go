package wan

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

func TestHandshakeAndLatencyAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		b.set("a", "b", oneWay(30*ms))
		b.set("b", "a", oneWay(10*ms))
		start := time.Now()
		at := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(start); got != want {
				t.Errorf("%s after %s, want %s", what, got, want)
			}
		}

		client := b.connect()
		go b.send(client, "hello")
		server := <-b.accepted
		at("dialed", 30*ms)
		greeted := make(chan struct{})
		go func() {
			b.send(server, "welcome")
			b.expect(client, "welcome")
			at("greeting", 80*ms) // the ack arrives at 70 ms, the greeting 10 ms later
			close(greeted)
		}()
		b.expect(server, "hello")
		at("first byte", 70*ms) // one round trip, then one way
		<-greeted

		b.send(client, "ping")
		b.expect(server, "ping")
		at("ping", 110*ms)
		b.send(server, "pong")
		b.expect(client, "pong")
		at("pong", 120*ms)
		synctest.Wait()
		if got := b.status("a", "b").Bytes; got != 9 {
			t.Errorf("a-b carried %d bytes, want 9", got)
		}
		if got := b.status("b", "a").Bytes; got != 11 {
			t.Errorf("b-a carried %d bytes, want 11", got)
		}
	})
}

func TestOrderIsKeptUnderJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", Change{Profile: &Profile{Latency: 30 * ms, Jitter: 20 * ms}})
		const count = 1000
		start := time.Now()
		go func() {
			for i := range count {
				b.send(client, string(binary.BigEndian.AppendUint32(nil, uint32(i))))
				time.Sleep(ms)
			}
		}()
		least, most := time.Hour, time.Duration(0)
		buf := make([]byte, 4)
		for i := range count {
			if _, err := io.ReadFull(server, buf); err != nil {
				t.Fatal(err)
			}
			if got := binary.BigEndian.Uint32(buf); got != uint32(i) {
				t.Fatalf("message %d arrived as number %d", got, i)
			}
			delay := time.Since(start) - time.Duration(i)*ms
			least, most = min(least, delay), max(most, delay)
		}
		if least < 10*ms || most > 50*ms {
			t.Errorf("delays from %s to %s, want them within 10ms and 50ms", least, most)
		}
		if most-least < 10*ms {
			t.Errorf("delays from %s to %s: that is no jitter", least, most)
		}
	})
}

func TestBandwidthIsSharedByADirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		clientA, serverA := b.open()
		clientB, serverB := b.open()
		b.set("a", "b", Change{Profile: &Profile{Bandwidth: 1_000_000}})
		const each = 5_000_000 // who is next is left to chance: it takes many turns until that evens out
		start := time.Now()
		took := make(chan time.Duration, 2)
		for _, ends := range [][2]*memSocket{{clientA, serverA}, {clientB, serverB}} {
			go ends[0].Write(make([]byte, each))
			go func() {
				io.ReadFull(ends[1], make([]byte, each))
				took <- time.Since(start)
			}()
		}
		go serverA.Write(make([]byte, 5_000_000))
		io.ReadFull(clientA, make([]byte, 5_000_000))
		if got := time.Since(start); got != 0 {
			t.Errorf("the other direction took %s, want no time", got)
		}
		first, last := <-took, <-took
		if last < 9990*ms || last > 10_010*ms {
			t.Errorf("ten megabytes took %s at a megabyte a second", last)
		}
		if first < 9000*ms {
			t.Errorf("one connection was done after %s: the share was uneven", first)
		}
	})
}

func TestFasterProfileHastensWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", Change{Profile: &Profile{Latency: 20 * time.Second, Bandwidth: 100}})
		b.send(client, "slow")
		synctest.Wait()
		b.set("a", "b", oneWay(50*ms))
		start := time.Now()
		b.expect(server, "slow")
		b.send(client, "fast")
		b.expect(server, "fast")
		if got := time.Since(start); got != 100*ms {
			t.Errorf("two messages one after the other took %s, want 100ms", got)
		}
	})
}

func TestFrozenHoldsBackAndReleasesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", Change{State: Frozen})
		b.send(client, "one ")
		b.send(client, "two ")
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		heard := b.silence(server, time.Hour)
		b.send(server, "still here")
		b.expect(client, "still here")
		b.Heal()
		first := <-heard
		rest, err := io.ReadAll(server)
		if got := first + string(rest); got != "one two " || err != nil {
			t.Errorf("read %q, %v after heal, want %q", got, err, "one two ")
		}
	})
}

func TestFrozenHandshakeGoesOnAfterHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		b.set("b", "a", Change{State: Frozen})
		client := b.connect()
		go b.send(client, "hello")
		server := <-b.accepted
		b.silence(server, time.Hour)
		b.Heal()
		synctest.Wait()
		if got := b.status("a", "b").Bytes; got != 5 {
			t.Errorf("%d bytes arrived after heal, want 5", got)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	for _, state := range []State{Up, Frozen} {
		t.Run(state.String()+" link, server that does not read", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Options{BufferBytes: 256 << 10})
				client, server := b.open()
				b.set("a", "b", Change{State: state})
				sent, done := 0, make(chan struct{})
				go func() {
					defer close(done)
					for range 1024 {
						n, _ := client.Write(make([]byte, 1024))
						sent += n
					}
				}()
				synctest.Wait()
				if sent < 256<<10 || sent > (256+32)<<10 {
					t.Errorf("%d bytes were taken before back-pressure, want 256 KiB and at most a block more", sent)
				}
				b.Heal()
				if _, err := io.ReadFull(server, make([]byte, 1<<20)); err != nil {
					t.Errorf("read what was held back: %v", err)
				}
				<-done
				if sent != 1<<20 {
					t.Errorf("%d bytes were taken in the end, want all", sent)
				}
			})
		})
	}
}

func TestEndOfStreamTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", oneWay(40*ms))
		start := time.Now()
		b.send(client, "question")
		client.CloseWrite()
		if got, err := io.ReadAll(server); string(got) != "question" || err != nil {
			t.Fatalf("the server read %q, %v", got, err)
		}
		if got := time.Since(start); got != 40*ms {
			t.Errorf("the end arrived after %s, want 40ms", got)
		}
		b.send(server, "answer")
		server.CloseWrite()
		if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
			t.Fatalf("the client read %q, %v", got, err)
		}
		synctest.Wait()
		if got := b.connCount(); got != 0 {
			t.Errorf("%d connections are left, want none", got)
		}
	})
}

func TestResetOfOneEndTravelsToTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("b", "a", oneWay(40*ms))
		start := time.Now()
		server.SetLinger(0)
		server.Close()
		b.expectReset(client)
		if got := time.Since(start); got != 40*ms {
			t.Errorf("the reset arrived after %s, want 40ms", got)
		}
	})
}

func TestRefusedDialResetsTheClientAfterARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		b.refuse = true
		b.set("a", "b", oneWay(40*ms))
		b.set("b", "a", oneWay(20*ms))
		start := time.Now()
		b.expectReset(b.connect())
		if got := time.Since(start); got != 60*ms {
			t.Errorf("refused after %s, want 60ms", got)
		}
	})
}

func TestWriteToAClosedPeerComesBackAsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		server.Close()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("read %v, want the end of the stream", err)
		}
		b.send(client, "anybody there?")
		synctest.Wait()
		if _, err := client.Write([]byte("?")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write after the peer has closed: %v, want a reset", err)
		}
	})
}

func TestCloseReturnsAfterTheLastGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		ended := false
		b.dial = func(ctx context.Context, _ string) (socket, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // a dialer that takes its time
			ended = true
			return nil, ctx.Err()
		}
		b.connect()
		synctest.Wait()
		b.Close()
		if !ended {
			t.Error("Close returned while a dial was under way")
		}
	})
}
