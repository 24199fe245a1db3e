package client_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

func TestMap(t *testing.T) {
	c, cluster := open(t, 1)
	ctx := t.Context()
	if _, err := c.HGetAll(ctx, "u"); !client.IsNotFound(err) {
		t.Errorf("fields of an absent map: %v", err)
	}
	if n := must[int](t)(c.HSet(ctx, "u", map[string]string{"name": "Ada", "city": "London"})); n != 2 {
		t.Errorf("HSet() = %d, want 2", n)
	}
	// One event for fields of several kinds, also in a map of the map.
	calls := len(cluster.Node("use1", 0).Calls())
	r := must[*client.Result](t)(c.MapUpdate(ctx, "u", []client.Op{
		client.IncrOp("visits", 3),
		client.SAddOp("name", "x", "y"), // another field of that name
		client.MapOp("home", client.PutOp("street", []byte("Main")), client.FlagOp("owned", true)),
	}))
	if r.Kind != client.Map || r.Changed != 5 || len(cluster.Node("use1", 0).Calls()) != calls+1 {
		t.Errorf("MapUpdate() = %+v in %d calls", r, len(cluster.Node("use1", 0).Calls())-calls)
	}
	if n := must[int64](t)(c.HIncr(ctx, "u", "visits", 2)); n != 5 {
		t.Errorf("HIncr() = %d, want 5", n)
	}
	if v := must[*client.Value](t)(c.HGet(ctx, "u", client.Way("home", "street"))); v.Kind != client.Register || string(v.Bytes) != "Main" {
		t.Errorf("nested field: %+v", v)
	}
	if _, err := c.HGet(ctx, "u", client.Way("name")); client.ReasonOf(err) != "AMBIGUOUS_FIELD" {
		t.Errorf("two fields of a name: %v", err)
	}
	if v := must[*client.Value](t)(c.HGet(ctx, "u", []client.FieldName{{Name: "name", Kind: client.Set}})); !slices.Equal(v.Elements, []string{"x", "y"}) {
		t.Errorf("field with kind: %+v", v)
	}
	if _, err := c.HGet(ctx, "u", client.Way("nobody")); !client.IsNotFound(err) {
		t.Errorf("absent field: %v", err)
	}
	if _, err := c.HGet(ctx, "u", nil); !client.IsInvalid(err) {
		t.Errorf("no field: %v", err)
	}
	var got []string
	for _, f := range must[[]client.Field](t)(c.HGetAll(ctx, "u")) {
		got = append(got, f.Kind.String()+":"+f.Name)
	}
	if want := []string{"register:city", "map:home", "register:name", "set:name", "counter:visits"}; !slices.Equal(got, want) {
		t.Errorf("HGetAll() = %q, want %q", got, want)
	}
	if n := must[int](t)(c.HDel(ctx, "u", []client.FieldName{{Name: "name", Kind: client.Set}, {Name: "city"}, {Name: "zip"}})); n != 2 {
		t.Errorf("HDel() = %d, want 2", n)
	}
	if v := must[*client.Value](t)(c.HGet(ctx, "u", client.Way("name"))); string(v.Bytes) != "Ada" {
		t.Errorf("the other field of the name is gone: %+v", v)
	}
	must[*client.Result](t)(c.Put(ctx, "r", nil))
	if _, err := c.HGetAll(ctx, "r"); client.ReasonOf(err) != "WRONG_KIND" {
		t.Errorf("fields of a register: %v", err)
	}
}

func TestMapOpRefusesWhatIsNoOperation(t *testing.T) {
	c, cluster := open(t, 1)
	bad := client.MapOp("u", client.IncrOp("n", 1), client.MapOp("inner", client.Op{Key: "x"}))
	if _, err := c.Update(t.Context(), bad); client.ReasonOf(err) != "NO_OPERATION" || client.OutcomeOf(err) != client.Failed {
		t.Errorf("zero Op in a map: %v", err)
	}
	if _, err := c.BatchUpdate(t.Context(), []client.Op{bad}); client.ReasonOf(err) != "NO_OPERATION" {
		t.Errorf("zero Op in a map in a batch: %v", err)
	}
	if n := len(cluster.Node("use1", 0).Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestHGetAllReadsPages(t *testing.T) {
	c, _ := open(t, 1, func(o *client.Options) { o.MaxMembers = 1500 })
	for i := range 1500 {
		must[int64](t)(c.HIncr(t.Context(), "m", fmt.Sprintf("%04d", i), 1))
	}
	fields := must[[]client.Field](t)(c.HGetAll(t.Context(), "m"))
	if len(fields) != 1500 || fields[1499].Name != "1499" || fields[1499].Value.Integer != 1 {
		t.Errorf("%d fields, want 1500 in order", len(fields))
	}
	must[int64](t)(c.HIncr(t.Context(), "m", "one more", 1))
	if _, err := c.HGetAll(t.Context(), "m"); client.ReasonOf(err) != "MAP_TOO_LARGE" {
		t.Errorf("one past the limit: %v", err)
	}
}

// An increment in a map is never sent to a second node after it may have been
// applied; assignments are.
func TestMapUpdatesMoveOnlyIfAllFieldsMay(t *testing.T) {
	tests := []struct {
		name string
		op   client.Op
		want client.Outcome
	}{
		{"registers", client.MapOp("a", client.PutOp("f", nil)), client.OK},
		{"a counter beside", client.MapOp("b", client.PutOp("f", nil), client.IncrOp("n", 1)), client.Unknown},
		{"a counter inside", client.MapOp("c", client.MapOp("m", client.IncrOp("n", 1))), client.Unknown},
		{"siblings", client.MapOp("d", func() client.Op { o := client.PutOp("f", nil); o.Kind = client.MVRegister; return o }()), client.Unknown},
		{"a score", client.ZAddOp("e", client.Member{Member: "m"}), client.Unknown},
		{"elements seen", client.PFAddOp("f", "x"), client.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := open(t, 2)
			cluster.Node("use1", 0).Misbehave(func(clienttest.Call) clienttest.Fault {
				return clienttest.Fault{After: clienttest.Refuse(codes.Unavailable, "WRITE_INDETERMINATE", "too few copies")}
			})
			_, err := c.Update(t.Context(), tt.op)
			if got := client.OutcomeOf(err); got != tt.want {
				t.Errorf("outcome %v, want %v: %v", got, tt.want, err)
			}
		})
	}
}

// What was acknowledged is not reported as failed when its value cannot be read.
func TestHIncrThatCannotReadBack(t *testing.T) {
	c, cluster := open(t, 1)
	cluster.Node("use1", 0).Misbehave(func(call clienttest.Call) clienttest.Fault {
		if call.Method != "Update" {
			return clienttest.Fault{Before: clienttest.Refuse(codes.PermissionDenied, "DENIED", "no reads")}
		}
		return clienttest.Fault{}
	})
	_, err := c.HIncr(t.Context(), "m", "n", 1)
	if client.OutcomeOf(err) != client.OK || client.ReasonOf(err) != "NOT_READ_BACK" || !client.IsDenied(err) {
		t.Errorf("HIncr() = %v, %v", err, client.OutcomeOf(err))
	}
}

func TestZSet(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	if _, err := c.ZRange(ctx, "z", client.Range{Stop: -1}); !client.IsNotFound(err) {
		t.Errorf("range of an absent zset: %v", err)
	}
	must[int](t)(c.ZAdd(ctx, "z", []client.Member{{Member: "a", Score: 1}, {Member: "c", Score: 2.5}, {Member: "b", Score: 2.5}, {Member: "d", Score: -3}}))
	if s := must[float64](t)(c.ZIncr(ctx, "z", "d", 0.5)); s != -2.5 {
		t.Errorf("ZIncr() = %v, want -2.5", s)
	}
	tests := []struct {
		name string
		part client.Range
		want string
	}{
		{"everything", client.Range{Stop: -1}, "d a b c"},
		{"by rank", client.Range{Start: 1, Stop: 2}, "a b"},
		{"from the end", client.Range{Start: -2, Stop: -1}, "b c"},
		{"reverse", client.Range{Stop: 1, Reverse: true}, "c b"},
		{"by score", client.Range{ByScore: true, Min: 1, Max: 2.5}, "a b c"},
		{"by score in reverse", client.Range{ByScore: true, Min: math.Inf(-1), Max: 1, Reverse: true}, "a d"},
		{"nothing", client.Range{Start: 7, Stop: 9}, ""},
		{"the zero range", client.Range{}, "d"},
	}
	for _, tt := range tests {
		var names []string
		for _, m := range must[[]client.Member](t)(c.ZRange(ctx, "z", tt.part)) {
			names = append(names, m.Member)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		member  string
		reverse bool
		rank    uint64
		found   bool
	}{{"d", false, 0, true}, {"c", false, 3, true}, {"b", true, 1, true}, {"x", false, 0, false}} {
		rank, found, err := c.ZRank(ctx, "z", tt.member, tt.reverse)
		if err != nil || rank != tt.rank || found != tt.found {
			t.Errorf("ZRank(%q, %t) = %d, %t, %v", tt.member, tt.reverse, rank, found, err)
		}
	}
	var many []client.Member
	for i := range 2300 {
		many = append(many, client.Member{Member: fmt.Sprintf("m%04d", i), Score: float64(i)})
	}
	must[int](t)(c.ZAdd(ctx, "many", many))
	got := must[[]client.Member](t)(c.ZRange(ctx, "many", client.Range{Start: 1, Stop: -1}))
	if len(got) != 2299 || got[0].Member != "m0001" || got[2298].Member != "m2299" || got[2298].Rank != 2299 {
		t.Errorf("a range of three pages has %d members", len(got))
	}
	if n := must[int](t)(c.ZRem(ctx, "z", []string{"a", "x"})); n != 1 {
		t.Errorf("ZRem() = %d, want 1", n)
	}
	if s, found, err := c.ZScore(ctx, "z", "b"); s != 2.5 || !found || err != nil {
		t.Errorf("ZScore() = %v, %t, %v", s, found, err)
	}
	if _, found, err := c.ZScore(ctx, "nothing", "b"); found || err != nil {
		t.Errorf("score in an absent zset: %t, %v", found, err)
	}
}

func TestFlagAndHLL(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	for _, step := range []struct{ on, changed bool }{{false, false}, {true, true}, {true, false}, {false, true}} {
		if changed := must[bool](t)(c.FlagSet(ctx, "f", step.on, client.WithKind(client.DWFlag))); changed != step.changed {
			t.Errorf("FlagSet(%t) = %t", step.on, changed)
		}
		if on := must[bool](t)(c.FlagGet(ctx, "f")); on != step.on {
			t.Errorf("FlagGet() = %t, want %t", on, step.on)
		}
	}
	if !must[bool](t)(c.PFAdd(ctx, "h", []string{"a", "b"})) || must[bool](t)(c.PFAdd(ctx, "h", []string{"a"})) {
		t.Error("PFAdd does not tell what is new")
	}
	if n := must[uint64](t)(c.PFCount(ctx, "h")); n != 2 {
		t.Errorf("PFCount() = %d, want 2", n)
	}
	if _, err := c.PFCount(ctx, "nobody"); !client.IsNotFound(err) {
		t.Errorf("PFCount of an absent key: %v", err)
	}
	if _, err := c.FlagGet(ctx, "h"); client.ReasonOf(err) != "WRONG_KIND" {
		t.Errorf("FlagGet of an hll: %v", err)
	}
}

func TestBoundedCounter(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	bounded := []client.CallOption{client.WithKind(client.BCounter), client.WithBound(2)}
	if n := must[int64](t)(c.Incr(ctx, "stock", 10, bounded...)); n != 10 {
		t.Errorf("Incr() = %d, want 10", n)
	}
	if _, err := c.Decr(ctx, "stock", 9); client.ReasonOf(err) != "NO_RIGHTS" || client.OutcomeOf(err) != client.Failed {
		t.Errorf("past the bound: %v", err)
	}
	must[*client.Result](t)(c.Transfer(ctx, "stock", 3, "euw1"))
	rights := must[[]client.Rights](t)(c.Rights(ctx, "stock"))
	want := []client.Rights{{Actor: 1, DC: "euw1", Node: "euw1-a", Amount: 3}, {Actor: 2, DC: "use1", Node: "use1-a", Amount: 5}}
	if !slices.Equal(rights, want) {
		t.Errorf("Rights() = %+v, want %+v", rights, want)
	}
	if v := must[*client.Value](t)(c.Get(ctx, "stock")); v.Bound != 2 || v.Integer != 10 {
		t.Errorf("Get() = %+v", v)
	}
}

func TestExpiry(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	c, _ := open(t, 1, func(o *client.Options) { o.Now = func() time.Time { return now } })
	ctx := t.Context()
	if found := must[bool](t)(c.Expire(ctx, "k", time.Minute)); found {
		t.Error("an absent key expires")
	}
	if _, _, err := c.TTL(ctx, "k"); !client.IsNotFound(err) {
		t.Errorf("TTL of an absent key: %v", err)
	}
	ttl := func(want time.Duration, wantExpires bool) {
		t.Helper()
		got, expires, err := c.TTL(ctx, "k")
		if got != want || expires != wantExpires || err != nil {
			t.Errorf("TTL() = %v, %t, %v, want %v, %t", got, expires, err, want, wantExpires)
		}
	}
	must[*client.Result](t)(c.Put(ctx, "k", nil))
	ttl(0, false)
	if found := must[bool](t)(c.Expire(ctx, "k", time.Hour)); !found {
		t.Error("Expire does not find the key")
	}
	ttl(time.Hour, true)
	must[*client.Result](t)(c.Put(ctx, "k", nil, client.WithKeepTTL()))
	ttl(time.Hour, true)
	must[*client.Result](t)(c.Put(ctx, "k", nil))
	ttl(0, false)
	must[*client.Result](t)(c.Put(ctx, "k", nil, client.WithTTL(time.Hour)))
	if v := must[*client.Value](t)(c.Get(ctx, "k")); v.ExpiresAt.Before(now.Add(time.Hour)) || v.ExpiresAt.After(now.Add(time.Hour+time.Minute)) {
		t.Errorf("expires at %v", v.ExpiresAt)
	}
	must[bool](t)(c.Persist(ctx, "k"))
	ttl(0, false)
	must[bool](t)(c.ExpireAt(ctx, "k", time.UnixMilli(0))) // long past, and not "never"
	if _, err := c.Get(ctx, "k"); !client.IsNotFound(err) {
		t.Errorf("expired key: %v", err)
	}
	if _, err := c.Expire(ctx, "k", 0); !client.IsInvalid(err) {
		t.Errorf("no time to live: %v", err)
	}
	if _, err := c.Put(ctx, "k", nil, client.WithTTL(time.Microsecond)); client.ReasonOf(err) != "BAD_TTL" {
		t.Errorf("less than a millisecond: %v", err)
	}
}

func TestKeep(t *testing.T) {
	c, _ := open(t, 1)
	must[int64](t)(c.Incr(t.Context(), "k", 1))
	if r := must[*client.Result](t)(c.Keep(t.Context(), "k", client.Counter)); r.Kind != client.Counter || r.Changed != 0 {
		t.Errorf("Keep() = %+v", r)
	}
	if _, err := c.Keep(t.Context(), "k", client.Set); client.ReasonOf(err) != "WRONG_KIND" {
		t.Errorf("Keep of what is not there: %v", err)
	}
}
