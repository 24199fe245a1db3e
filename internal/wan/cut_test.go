package wan

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCutTellsNobodyAndResetsAtHeal(t *testing.T) {
	tests := []struct {
		name string
		cut  [][2]string // the directions that are cut
		lose func(b *bubble, client, server *memSocket)
	}{
		{
			name: "both ways, both sides send", cut: [][2]string{{"a", "b"}, {"b", "a"}},
			lose: func(b *bubble, client, server *memSocket) {
				b.send(client, "lost")
				b.send(server, "lost too")
			},
		},
		{
			name: "one way, the client sends", cut: [][2]string{{"a", "b"}},
			lose: func(b *bubble, client, _ *memSocket) { b.send(client, "lost") },
		},
		{
			name: "one way, the server sends", cut: [][2]string{{"b", "a"}},
			lose: func(b *bubble, _, server *memSocket) { b.send(server, "lost") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Options{})
				client, server := b.open()
				for _, l := range tt.cut {
					b.set(l[0], l[1], Change{State: Cut})
				}
				tt.lose(b, client, server)
				heard := make(chan string, 2)
				for name, end := range map[string]*memSocket{"client": client, "server": server} {
					go func() {
						b.expectReset(end)
						heard <- name
					}()
				}
				select {
				case who := <-heard:
					t.Fatalf("the %s was told of the cut", who)
				case <-time.After(time.Hour):
				}
				b.Heal()
				<-heard
				<-heard

				client, server = b.open()
				b.send(client, "again")
				b.expect(server, "again")
			})
		})
	}
}

// TestCutCarriesNoMore: what a socket of the far end is slow to take arrived
// before the cut, and is counted there, not when the socket has taken it.
func TestCutCarriesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.send(client, "slowly")
		synctest.Wait() // the server does not read
		b.set("a", "b", Change{State: Cut})
		if s := b.status("a", "b"); s.Bytes != 11 {
			t.Errorf("%d bytes carried, want 11", s.Bytes)
		}
		b.expect(server, "slowly")
		synctest.Wait()
		if s := b.status("a", "b"); s.Bytes != 11 || s.Dropped != 0 {
			t.Errorf("%d bytes carried and %d dropped, want 11 and none", s.Bytes, s.Dropped)
		}
	})
}

func TestCutOneWayLeavesTheOtherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", Change{State: Cut})
		b.send(client, "lost")
		b.send(server, "carried")
		b.expect(client, "carried")
		synctest.Wait()
		if s := b.status("a", "b"); s.Dropped != 4 || s.Bytes != 5 {
			t.Errorf("a-b: %d bytes dropped and %d carried, want 4 and 5", s.Dropped, s.Bytes)
		}
		if s := b.status("b", "a"); s.Dropped != 0 || s.Bytes != 14 {
			t.Errorf("b-a: %d bytes dropped and %d carried, want 0 and 14", s.Dropped, s.Bytes)
		}
	})
}

func TestCutLosesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("a", "b", oneWay(50*ms))
		b.send(client, "in flight")
		time.Sleep(30 * ms)
		b.set("a", "b", Change{State: Cut})
		b.silence(server, time.Minute)
		if got := b.status("a", "b").Dropped; got != 9 {
			t.Errorf("%d bytes dropped, want 9", got)
		}
		b.Heal()
		b.expectReset(client)
	})
}

func TestCutSparesWhatHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.send(client, "arrived")
		synctest.Wait() // it is being handed over to a server that does not read yet
		b.send(client, "behind")
		synctest.Wait()
		b.set("a", "b", Change{State: Cut})
		if got := b.status("a", "b").Dropped; got != 6 {
			t.Errorf("%d bytes dropped, want the 6 of \"behind\"", got)
		}
		b.expect(server, "arrived")
		b.silence(server, time.Minute)
	})
}

func TestCutNeverLetsAStreamContinueWithAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		if err := b.CutDC("b"); err != nil {
			t.Fatal(err)
		}
		b.send(client, "lost")
		// One direction heals: the bytes could flow, but the stream has a hole.
		b.set("a", "b", Change{State: Up})
		b.send(client, "behind the hole")
		b.silence(server, time.Minute)
		b.set("b", "a", Change{State: Frozen})
		b.silence(client, time.Minute)
		if got := b.connCount(); got != 1 {
			t.Fatalf("%d connections before both directions are up, want 1", got)
		}
		b.Heal()
		if got := b.connCount(); got != 0 {
			t.Errorf("%d connections after heal, want none", got)
		}
	})
}

func TestCutLeavesIdleConnectionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		if err := b.CutDC("a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.Heal()
		b.send(client, "as if nothing had happened")
		b.expect(server, "as if nothing had happened")
	})
}

func TestCutHidesTheEndOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		if err := b.CutDC("b"); err != nil {
			t.Fatal(err)
		}
		client.Close()
		b.silence(server, time.Hour)
		if got := b.connCount(); got != 1 {
			t.Fatalf("%d connections while the server waits, want 1", got)
		}
		server.Close()
		synctest.Wait()
		if got := b.connCount(); got != 0 {
			t.Errorf("%d connections when both sides have gone, want none", got)
		}
	})
}

func TestCutForgetsConnectionsThatBothSidesHaveLeft(t *testing.T) {
	tests := []struct {
		name  string
		leave func(b *bubble, client, server *memSocket)
	}{
		{"before the cut, ends in flight", func(b *bubble, client, server *memSocket) {
			client.Close()
			server.Close()
			synctest.Wait()
			b.CutDC("a")
		}},
		{"during the cut", func(b *bubble, client, server *memSocket) {
			b.CutDC("a")
			client.Close()
			server.Close()
		}},
		{"server first, and what it answers to late bytes is lost", func(b *bubble, client, server *memSocket) {
			server.Close()
			time.Sleep(200 * ms)
			b.send(client, "too late")
			time.Sleep(50 * ms)
			b.set("b", "a", Change{State: Cut})
			time.Sleep(time.Minute)
			client.Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Options{})
				client, server := b.open()
				if err := b.SetPair("a", "b", oneWay(100*ms)); err != nil {
					t.Fatal(err)
				}
				tt.leave(b, client, server)
				synctest.Wait()
				if got := b.connCount(); got != 0 {
					t.Errorf("%d connections are left, want none", got)
				}
			})
		})
	}
}

func TestCutIsABlackHoleForNewConnections(t *testing.T) {
	for _, direction := range [][2]string{{"a", "b"}, {"b", "a"}} {
		t.Run(direction[0]+"-"+direction[1], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Options{})
				b.set(direction[0], direction[1], Change{State: Cut})
				patient, hasty := b.connect(), b.connect()
				b.send(patient, "anybody there?")
				b.silence(patient, time.Hour)
				if len(b.accepted) != 0 {
					t.Error("the server was dialed through a cut")
				}
				hasty.Close()
				synctest.Wait()
				if got := b.connCount(); got != 1 {
					t.Errorf("%d connections when one of two clients has given up, want 1", got)
				}
				b.Heal()
				if got := b.connCount(); got != 0 {
					t.Errorf("%d connections after heal, want none", got)
				}
			})
		})
	}
}

func TestResetEndsConnectionsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		client, server := b.open()
		b.set("b", "a", Change{State: Reset})
		b.expectReset(client)
		b.expectReset(server)
		b.expectReset(b.connect())
		if len(b.accepted) != 0 {
			t.Error("the server was dialed although the link resets")
		}
		b.Heal()
		b.open()
	})
}
