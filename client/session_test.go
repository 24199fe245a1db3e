package client

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

const testPartitions = 16

// given is what a server gives for a key.
func given(key string, tokens ...string) *pb.Session {
	s := &pb.Session{Placement: 7, Partitions: testPartitions, Partition: uint32(ring.PartitionOf(ring.KeyHash("b", []byte(key)), testPartitions))}
	for _, t := range tokens {
		s.Tokens = append(s.Tokens, []byte(t))
	}
	return s
}

func carried(s *Session, key string) string {
	return string(bytes.Join(s.carry("b", []byte(key)).GetTokens(), []byte(" ")))
}

// keyIn finds a key of a partition.
func keyIn(partition int) string {
	for i := 0; ; i++ {
		key := fmt.Sprint("k", i)
		if ring.PartitionOf(ring.KeyHash("b", []byte(key)), testPartitions) == partition {
			return key
		}
	}
}

func TestSessionCarriesWhatItsKeyTouches(t *testing.T) {
	s := NewSession(0)
	a, b := keyIn(1), keyIn(2)
	first := s.carry("b", []byte(a))
	if first == nil || len(first.GetTokens()) != 0 {
		t.Errorf("a session that has seen nothing carries %v, want it to be there and empty", first)
	}
	s.take("b", first, given(a, "a1"))
	s.take("b", s.carry("b", []byte(b)), given(b, "b1"))
	if got := carried(s, a); got != "a1" {
		t.Errorf("for the first partition %q, want a1", got)
	}
	if got := carried(s, b); got != "b1" {
		t.Errorf("for the second partition %q, want b1", got)
	}
	if got := s.carry("other", []byte(a)); len(got.GetTokens()) != 0 {
		t.Errorf("for a bucket it has not seen %v", got)
	}
	s.take("b", s.carry("b", []byte(a)), given(a, "a2"))
	if got := carried(s, a); got != "a2" {
		t.Errorf("after the next answer %q, want a2 in the place of a1", got)
	}
	s.take("b", s.carry("b", []byte(a)), given(a))
	if got := carried(s, a); got != "" || s.Partitions() != 1 || s.Dropped() != 0 {
		t.Errorf("once all replicas have it %q, %d partitions, %d dropped", got, s.Partitions(), s.Dropped())
	}
}

func TestSessionKeepsWhatConcurrentAnswersGave(t *testing.T) {
	s := NewSession(0)
	k := keyIn(3)
	s.take("b", nil, given(k, "t0"))
	one, two := s.carry("b", []byte(k)), s.carry("b", []byte(k))
	s.take("b", one, given(k, "t1"))
	s.take("b", two, given(k, "t2"))
	s.take("b", two, given(k, "t2"))
	if got := carried(s, k); got != "t1 t2" {
		t.Errorf("carries %q, want both answers, each once", got)
	}
	s.take("b", s.carry("b", []byte(k)), given(k, "t3"))
	if got := carried(s, k); got != "t3" {
		t.Errorf("carries %q, want t3 alone", got)
	}
}

func TestSessionDropsTheLeastRecentAndSaysSo(t *testing.T) {
	s := NewSession(2)
	for p := range 2 {
		s.take("b", nil, given(keyIn(p), fmt.Sprint("t", p)))
	}
	carried(s, keyIn(0)) // used
	s.take("b", nil, given(keyIn(2), "t2"))
	if got := carried(s, keyIn(0)) + carried(s, keyIn(1)) + carried(s, keyIn(2)); got != "t0t2" {
		t.Errorf("remembers %q, want t0 and t2", got)
	}
	if s.Dropped() != 1 || s.Partitions() != 2 {
		t.Errorf("%d dropped, %d partitions; want 1 and 2", s.Dropped(), s.Partitions())
	}
	cut := given(keyIn(0), "short")
	cut.Truncated = true
	s.take("b", nil, cut)
	s.take("b", nil, cut)
	if s.Dropped() != 2 {
		t.Errorf("%d dropped after a truncated token, want 2", s.Dropped())
	}
	for i := range sessionTokens + 1 {
		s.take("b", nil, given(keyIn(2), fmt.Sprint("u", i)))
	}
	if got := len(s.carry("b", []byte(keyIn(2))).GetTokens()); got != sessionTokens || s.Dropped() == 2 {
		t.Errorf("%d tokens for one partition, %d dropped", got, s.Dropped())
	}
}

func TestSessionOfAnotherClusterBeginsAnew(t *testing.T) {
	s := NewSession(0)
	s.take("b", nil, given(keyIn(0), "t0"))
	other := given(keyIn(1), "t1")
	other.Partitions = 32
	s.take("b", nil, other)
	if s.Partitions() != 1 || s.Dropped() != 1 {
		t.Errorf("%d partitions, %d dropped; want 1 and 1", s.Partitions(), s.Dropped())
	}
}

func TestSessionMarshal(t *testing.T) {
	s := NewSession(3)
	s.take("b", nil, given(keyIn(0), "t0"))
	s.take("b", nil, given(keyIn(1), "t1", "t2"))
	cut := given(keyIn(2), "t3")
	cut.Truncated = true
	s.take("b", nil, cut)
	b := s.Marshal()
	got, err := UnmarshalSession(b)
	if err != nil {
		t.Fatal(err)
	}
	if c := carried(got, keyIn(0)) + "," + carried(got, keyIn(1)) + "," + carried(got, keyIn(2)); c != "t0,t1 t2,t3" || got.Dropped() != 1 {
		t.Errorf("after a round trip: %q, %d dropped", c, got.Dropped())
	}
	if again, _ := UnmarshalSession(b); !bytes.Equal(again.Marshal(), b) {
		t.Error("encoded again it differs")
	}
	again, _ := UnmarshalSession(b)
	again.take("b", nil, given(keyIn(4), "t4"))
	if carried(again, keyIn(0)) != "" {
		t.Error("the order of use is lost")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := UnmarshalSession(bad); !errors.Is(err, ErrSession) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := UnmarshalSession(b[:i]); !errors.Is(err, ErrSession) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestNoSession(t *testing.T) {
	var s *Session
	if s.carry("b", []byte("k")) != nil {
		t.Error("a call without a session carries one")
	}
	s.take("b", nil, given("k", "t"))
}

func FuzzUnmarshalSession(f *testing.F) {
	s := NewSession(3)
	s.take("b", nil, given(keyIn(0), "t0"))
	f.Add(s.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := UnmarshalSession(b); err == nil {
			if _, err := UnmarshalSession(s.Marshal()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
