package history

import "testing"

func TestLedger(t *testing.T) {
	a, b := Key{"b", "a"}, Key{"b", "b"}
	dot := Dot{Actor: 7, Seq: 1}
	tests := []struct {
		name string
		see  func(*Ledger)
		want int
	}{
		{"the same, seen again", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(dot, a, "payload", "x") }, 0},
		{"another side", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(dot, a, "request", "y") }, 0},
		{"another dot", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(Dot{Actor: 7, Seq: 2}, b, "payload", "y") }, 0},
		{"another actor", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(Dot{Actor: 8, Seq: 1}, b, "payload", "y") }, 0},
		{"another payload", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(dot, a, "payload", "y") }, 1},
		{"another key", func(l *Ledger) { l.Saw(dot, a, "payload", "x"); l.Saw(dot, b, "request", "y") }, 1},
		{"another key of another bucket", func(l *Ledger) { l.Saw(dot, a, "p", "x"); l.Saw(dot, Key{"c", "a"}, "p", "x") }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger()
			tt.see(l)
			r := l.Report()
			if len(r.Reused) != tt.want || r.OK() != (tt.want == 0) {
				t.Errorf("found %v, want %d findings", r.Reused, tt.want)
			}
			if l.Len() == 0 {
				t.Error("it has seen nothing")
			}
		})
	}
}
