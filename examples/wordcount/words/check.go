package words

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/godwitdb/godwit/client"
)

// Difference is one key of one datacenter that does not agree with the texts.
type Difference struct {
	DC   string
	Key  string
	Want string
	Got  string
}

// String says it in one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s %s: want %s, got %s", d.DC, d.Key, d.Want, d.Got)
}

// Check compares the counters and sets of every datacenter, read at consistency
// quorum, with the texts' own counts. The texts must be all that was ever
// counted in the bucket.
func Check(ctx context.Context, o Options) ([]Difference, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	want := Count(o.Texts...)
	var all []Difference
	for _, c := range o.Clients {
		counters, err := checkCounters(ctx, &o, c, want)
		if err != nil {
			return nil, fmt.Errorf("check counters in %s: %w", c.DC(), err)
		}
		sets, err := checkSets(ctx, &o, c, want.Letters())
		if err != nil {
			return nil, fmt.Errorf("check sets in %s: %w", c.DC(), err)
		}
		all = append(append(all, counters...), sets...)
	}
	return all, nil
}

// Settle checks again and again, with a pause between, until nothing differs or
// limit has passed, and returns the last differences: what one datacenter
// counted is on its way to the others. Until then it also bears with nodes that
// cannot be reached or take too long.
func Settle(ctx context.Context, o Options, limit, pause time.Duration) ([]Difference, error) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for deadline := time.Now().Add(limit); ; {
		found, err := Check(ctx, o)
		busy := client.IsUnavailable(err) || client.IsTimeout(err)
		if err != nil && !busy || err == nil && len(found) == 0 || time.Now().After(deadline) {
			return found, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}

func checkCounters(ctx context.Context, o *Options, c *client.Client, want Counts) ([]Difference, error) {
	words := want.Sorted()
	keys := make([]string, len(words))
	for i, w := range words {
		keys[i] = wordKey + w
	}
	got, err := c.BatchGet(ctx, keys, append(o.call(), client.WithConsistency(client.Quorum))...)
	if err != nil {
		return nil, err
	}
	var found []Difference
	for i, w := range words {
		n := int64(0)
		switch {
		case got[i].Err == nil:
			n = got[i].Value.Integer
		case !client.IsNotFound(got[i].Err):
			return nil, fmt.Errorf("read %s: %w", keys[i], got[i].Err)
		}
		if n != want[w] {
			found = append(found, Difference{DC: c.DC(), Key: keys[i], Want: strconv.FormatInt(want[w], 10), Got: strconv.FormatInt(n, 10)})
		}
	}
	return found, nil
}

func checkSets(ctx context.Context, o *Options, c *client.Client, want map[string][]string) ([]Difference, error) {
	var found []Difference
	for b := byte('a'); b <= 'z'; b++ {
		letter := string(b)
		got, err := c.SMembers(ctx, letterKey+letter, append(o.call(), client.WithConsistency(client.Quorum))...)
		if err != nil && !client.IsNotFound(err) {
			return nil, fmt.Errorf("read %s: %w", letterKey+letter, err)
		}
		if missing, extra := compare(want[letter], got); len(missing)+len(extra) > 0 {
			found = append(found, Difference{
				DC: c.DC(), Key: letterKey + letter, Want: fmt.Sprintf("%d words", len(want[letter])),
				Got: fmt.Sprintf("%d, %s, %s", len(got), some("missing", missing), some("not of the texts", extra)),
			})
		}
	}
	return found, nil
}

// compare are the elements of want that got lacks, and the other way round.
func compare(want, got []string) (missing, extra []string) {
	has := map[string]bool{}
	for _, w := range want {
		has[w] = true
	}
	for _, w := range got {
		if !has[w] {
			extra = append(extra, w)
		}
		delete(has, w)
	}
	return slices.Sorted(maps.Keys(has)), extra
}

// some names a few of the words.
func some(what string, words []string) string {
	return fmt.Sprintf("%d %s %.60q", len(words), what, words[:min(3, len(words))])
}
