package dc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

func mapUpdate(key string, fields ...*v1.FieldUpdate) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{Fields: fields}}}
}

// The answer to a change tells the numbers that it left, also in maps and of
// several members; a retry at another replica is told them as well.
func TestAnswersTellWhatTheChangeLeft(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	member := func(name string, score float64) *v1.Member { return &v1.Member{Member: []byte(name), Score: score} }
	count := func(n int64) *v1.UpdateRequest {
		return &v1.UpdateRequest{Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: n}}}
	}
	inner := mapUpdate("", &v1.FieldUpdate{Name: []byte("visits"), Update: count(2)})
	tests := []struct {
		up        *v1.UpdateRequest
		one, both string // after one time, and after two
	}{
		{incr("hits", 5), `{"integer":"5"}`, `{"integer":"10"}`},
		{zadd("board", member("b", 2), member("a", 1), member("b", 3)), `{"zset":{"members":[{"member":"YQ==","score":1},{"member":"Yg==","score":3}]}}`, ""},
		{zincr("board", "a", 1), `{"zset":{"members":[{"member":"YQ==","score":2}]}}`, `{"zset":{"members":[{"member":"YQ==","score":3}]}}`},
		{
			mapUpdate("m", &v1.FieldUpdate{Name: []byte("n"), Update: count(7)}, &v1.FieldUpdate{Name: []byte("in"), Update: inner},
				&v1.FieldUpdate{Name: []byte("z"), Update: zincr("", "x", 1.5)}, &v1.FieldUpdate{Name: []byte("name"), Update: put("", "Ada")}),
			`{"map":{"fields":[{"name":"aW4=","kind":"KIND_MAP","value":{"map":{"fields":[{"name":"dmlzaXRz","kind":"KIND_COUNTER","value":{"integer":"2"}}]}}},` +
				`{"name":"bg==","kind":"KIND_COUNTER","value":{"integer":"7"}},{"name":"eg==","kind":"KIND_ZSET","value":{"zset":{"members":[{"member":"eA==","score":1.5}],"total":"1"}}}]}}`, "",
		},
		{put("r", "v"), ``, ``},
	}
	for i, tt := range tests {
		id := make([]byte, 16)
		ms := time.Now().UnixMilli()
		for b := range 6 {
			id[b] = byte(ms >> (40 - 8*b))
		}
		id[15] = byte(i + 1)
		tt.up.Options = &v1.WriteOptions{RequestId: id, Consistency: v1.Consistency_CONSISTENCY_ALL}
		for _, n := range nodes { // the same request everywhere
			resp, err := n.Update(t.Context(), tt.up)
			if err != nil {
				t.Fatal(err)
			}
			if got := inJSON(t, resp.GetValue()); got != tt.one {
				t.Errorf("%s of %s: %s\nwant %s", n.ID(), tt.up.GetKey(), got, tt.one)
			}
		}
		if tt.both == "" {
			continue
		}
		again := proto.CloneOf(tt.up)
		again.Options = nil
		resp, err := nodes[0].Update(t.Context(), again)
		if err != nil || inJSON(t, resp.GetValue()) != tt.both {
			t.Errorf("a second change of %s: %s, %v, want %s", tt.up.GetKey(), inJSON(t, resp.GetValue()), err, tt.both)
		}
		if resp, err = nodes[1].Update(t.Context(), tt.up); err != nil || inJSON(t, resp.GetValue()) != tt.one {
			t.Errorf("the first request again: %s, %v, want what it was answered with: %s", inJSON(t, resp.GetValue()), err, tt.one)
		}
	}
}

// inJSON is a value in one line, without the spaces that protojson varies.
func inJSON(t *testing.T, v *v1.Value) string {
	t.Helper()
	if v == nil {
		return ""
	}
	b, err := protojson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, c := range b {
		if c != ' ' {
			out = append(out, c)
		}
	}
	return string(out)
}
