package loadtest

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestZipfianHasTheSharesOfItsLaw(t *testing.T) {
	tests := []struct {
		theta float64
		share [3]float64 // of the three most popular of 1000 keys: 1/k^theta over the sum
	}{
		{0.99, [3]float64{0.12938, 0.06514, 0.04360}},
		{1, [3]float64{0.13359, 0.06680, 0.04453}},
		{2, [3]float64{0.60830, 0.15207, 0.06759}},
	}
	const draws = 200_000
	for _, tt := range tests {
		r := rand.New(rand.NewPCG(1, 2))
		c, err := newChooser(Zipfian, 1000, tt.theta, 0)
		if err != nil {
			t.Fatal(err)
		}
		var counts [1000]int
		for range draws {
			counts[c.next(r)]++
		}
		for k, want := range tt.share {
			got := float64(counts[k]) / draws
			if math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/draws) {
				t.Errorf("theta %v: key %d has a share of %.5f, want %.5f", tt.theta, k, got, want)
			}
		}
	}
}

// A hundred million keys need no table: choosing allocates nothing, and the
// most popular key has the share that the sum of 1/k^0.99 gives it.
func TestZipfianOfManyKeysHoldsNone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c, err := newChooser(Zipfian, 100_000_000, 0.99, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { c.next(r) }); n != 0 {
		t.Errorf("%v allocations to choose a key, want 0", n)
	}
	const draws, want = 200_000, 0.04807 // 1 / 20.803
	first, far := 0, 0
	for range draws {
		switch k := c.next(r); {
		case k == 0:
			first++
		case k >= 1_000_000:
			far++
		}
	}
	if got := float64(first) / draws; math.Abs(got-want) > 0.0025 {
		t.Errorf("the first key has a share of %.5f, want %.5f", got, want)
	}
	if far < draws/10 {
		t.Errorf("%d of %d draws beyond the first million keys", far, draws)
	}
}

func TestDistributionsStayInTheirRange(t *testing.T) {
	for _, d := range []Distribution{Zipfian, Uniform, Latest, Hot} {
		for _, n := range []uint64{1, 2, 3, 1000} {
			r := rand.New(rand.NewPCG(5, n))
			c, err := newChooser(d, n, 0.99, 0.5)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[uint64]int{}
			for range 5000 {
				k := c.next(r)
				if k >= n {
					t.Fatalf("%s of %d keys chose %d", d, n, k)
				}
				seen[k]++
			}
			if n <= 3 && len(seen) != int(n) {
				t.Errorf("%s of %d keys chose %d of them", d, n, len(seen))
			}
			if d == Latest && n == 1000 && seen[999] < seen[0] {
				t.Errorf("latest chose the newest key %d times, the oldest %d times", seen[999], seen[0])
			}
			if d == Hot && n == 1000 && (seen[0] < 2200 || seen[0] > 2800) {
				t.Errorf("hot chose the hot key %d times of 5000, want about half", seen[0])
			}
		}
	}
}

func TestChooserRefuses(t *testing.T) {
	for _, bad := range []func() (*chooser, error){
		func() (*chooser, error) { return newChooser(Uniform, 0, 1, 1) },
		func() (*chooser, error) { return newChooser(Zipfian, 9, 0, 0) },
		func() (*chooser, error) { return newChooser(Zipfian, 9, math.NaN(), 0) },
		func() (*chooser, error) { return newChooser(Hot, 9, 1, 1) },
		func() (*chooser, error) { return newChooser("zipf", 9, 1, 1) },
	} {
		if _, err := bad(); err == nil {
			t.Error("accepted")
		}
	}
}
