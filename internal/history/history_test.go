package history

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestRecorderWritesOneLineARecord(t *testing.T) {
	var out bytes.Buffer
	r := NewRecorder(&out)
	err := r.Record(&Record{
		Start: 1, End: 2, Client: "c1", DC: "use1", Node: "use1-a", Op: SAdd, Bucket: "default", Key: "s",
		Arg: []string{"a", "<b>"}, ResultN: 2, Outcome: OK, Tries: 1, Dot: &Dot{Actor: 1<<63 + 1, Seq: 7},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.Len() != 0 || r.Len() != 1 {
		t.Errorf("%d bytes and %d records before Flush", out.Len(), r.Len())
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `{"start":1,"end":2,"client":"c1","dc":"use1","node":"use1-a","op":"sadd","bucket":"default","key":"s",` +
		`"arg":["a","\u003cb\u003e"],"result_n":2,"outcome":"ok","tries":1,"dot":"8000000000000001:7"}` + "\n"
	if out.String() != want {
		t.Errorf("wrote %s, want %s", out.String(), want)
	}
}

func TestRecorderRefuses(t *testing.T) {
	tests := []struct {
		name string
		rec  Record
		want string
	}{
		{"unknown op", Record{Op: "jump", Key: "k", Outcome: OK}, `unknown op "jump"`},
		{"unknown outcome", Record{Op: Incr, Key: "k"}, `unknown outcome "" (ok, failed or unknown)`},
		{"no key", Record{Op: Incr, Outcome: OK}, "no key"},
		{"time running backwards", Record{Op: Incr, Key: "k", Outcome: OK, Start: 2, End: 1}, "end 1 is before start 2"},
		{"put of two values", Record{Op: Put, Key: "k", Outcome: OK, Arg: []string{"a", "b"}}, "put takes one arg, has 2"},
		{"sadd of nothing", Record{Op: SAdd, Key: "k", Outcome: OK}, "sadd takes 1 to 1024 args, has 0"},
		{"bytes that JSON would change", Record{Op: Put, Key: "k", Outcome: OK, Arg: []string{"\xff"}}, `"\xff" is not UTF-8`},
		{"dot of a failed write", Record{Op: Incr, Key: "k", Outcome: Failed, Dot: &Dot{}}, "dot of an operation that is failed"},
		{"line too long", Record{Op: Put, Key: "k", Outcome: OK, Arg: []string{strings.Repeat("x", 1<<20)}}, "at most 1048575 are allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRecorder(&bytes.Buffer{})
			if err := r.Record(&tt.rec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Record() = %v, want %q in it", err, tt.want)
			}
			if r.Len() != 0 {
				t.Error("it was counted")
			}
		})
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestRecorderKeepsTheFirstError(t *testing.T) {
	full := errors.New("disk full")
	r := NewRecorder(brokenWriter{full})
	rec := &Record{Op: Incr, Key: "k", N: 1, Outcome: OK}
	if err := r.Record(rec); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(); !errors.Is(err, full) {
		t.Errorf("Flush() = %v", err)
	}
	if err := r.Record(rec); !errors.Is(err, full) {
		t.Errorf("Record() = %v", err)
	}
}

func TestRecorderIsConcurrent(t *testing.T) {
	var out bytes.Buffer
	r := NewRecorder(&out)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				now := r.Now()
				if err := r.Record(&Record{Start: now, End: r.Now(), Client: strconv.Itoa(i), Op: Incr, Key: "k", N: int64(j), Outcome: OK}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := ReadAll(&out, 1600)
	if err != nil || len(all) != 1600 {
		t.Errorf("read %d records, %v", len(all), err)
	}
}

func TestReaderNamesTheLine(t *testing.T) {
	const good = `{"start":1,"end":2,"client":"c","dc":"d","op":"incr","key":"k","n":1,"outcome":"ok"}` + "\n"
	tests := []struct{ name, text, want string }{
		{"not JSON", good + "\n" + "hello\n", "history line 3: not a record: invalid character 'h' looking for beginning of value"},
		{"cut off", good + good[:20], "history line 2: not a record: unexpected EOF"},
		{"a field nobody knows", good + `{"begin":1}`, `history line 2: not a record: json: unknown field "begin"`},
		{"two on a line", strings.TrimSpace(good) + good, "history line 1: not a record: something follows it on its line"},
		{"an unfit record", good + `{"op":"incr","key":"k"}`, `history line 2: unknown outcome "" (ok, failed or unknown)`},
		{"a dot that is none", `{"op":"incr","key":"k","outcome":"ok","dot":"1:2"}`, `history line 1: not a record: dot "1:2" is not actor:seq`},
		{"a line without end", good + strings.Repeat(" ", 1<<20), "history line 2: longer than the 1048576 bytes allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ReadAll(strings.NewReader(tt.text), 10); err == nil || err.Error() != tt.want {
				t.Errorf("ReadAll() = %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := ReadAll(strings.NewReader(good+good), 1); !errors.Is(err, ErrTooLong) {
		t.Errorf("two records where one is allowed: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"start":1,"end":2,"client":"c","dc":"d","op":"sadd","key":"k","arg":["a"],"outcome":"ok","dot":"0000000000000001:7"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ReadAll(bytes.NewReader(b), 100)
		if err != nil {
			return
		}
		var out bytes.Buffer
		r := NewRecorder(&out)
		for _, rec := range all {
			if err := r.Record(rec); err != nil {
				t.Fatalf("read and then refused: %v", err)
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		again, err := ReadAll(&out, 100)
		if err != nil || len(again) != len(all) {
			t.Fatalf("read %d, wrote and read %d: %v", len(all), len(again), err)
		}
	})
}

func TestReadGivesWhatWasRecorded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		r := NewRecorder(&out)
		var want []*Record
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			rec := &Record{
				Start: rapid.Int64Range(0, 100).Draw(t, "start"), End: 100, Client: rapid.String().Draw(t, "client"),
				DC: rapid.String().Draw(t, "dc"), Op: Put, Key: "k" + rapid.String().Draw(t, "key"),
				Arg: []string{rapid.String().Draw(t, "value")}, Outcome: OK, Dot: &Dot{rapid.Uint64().Draw(t, "actor"), rapid.Uint64().Draw(t, "seq")},
			}
			want = append(want, rec)
			if err := r.Record(rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		got, err := ReadAll(&out, 5)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v, %v", got, err)
		}
	})
}
