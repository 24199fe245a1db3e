package loadtest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Distribution says which keys are chosen how often.
type Distribution string

// The distributions of keys. Key 0 is the most popular one of all but Uniform
// and Latest; where a key lies on the ring has nothing to do with its number.
const (
	Zipfian Distribution = "zipfian" // the k-th most popular key has a share of 1/k^theta
	Uniform Distribution = "uniform"
	Latest  Distribution = "latest" // zipfian, counted back from the key inserted last
	Hot     Distribution = "hot"    // one key has a share of its own, the others are uniform
)

// Distributions are the names that a workload may use.
func Distributions() []string {
	return []string{string(Zipfian), string(Uniform), string(Latest), string(Hot)}
}

// chooser chooses keys from 0 to n-1. It is immutable: one of a growing number
// of keys is made anew, which costs no more than a few logarithms, and no memory.
type chooser struct {
	dist Distribution
	n    uint64
	hot  float64
	zipf zipf
}

func newChooser(d Distribution, n uint64, theta, hot float64) (*chooser, error) {
	c := &chooser{dist: d, n: n, hot: hot}
	switch {
	case n == 0:
		return nil, errors.New("choose keys: there are none")
	case d == Uniform, d == Hot && hot > 0 && hot < 1:
	case d == Hot:
		return nil, fmt.Errorf("choose keys: share %v of the hot key is not between 0 and 1", hot)
	case (d == Zipfian || d == Latest) && theta > 0 && theta <= maxTheta:
		c.zipf = newZipf(n, theta)
	case d == Zipfian || d == Latest:
		return nil, fmt.Errorf("choose keys: theta %v is not above 0 and at most %v", theta, maxTheta)
	default:
		return nil, fmt.Errorf("choose keys: unknown distribution %q", d)
	}
	return c, nil
}

// next chooses a key.
func (c *chooser) next(r *rand.Rand) uint64 {
	switch c.dist {
	case Zipfian:
		return c.zipf.next(r)
	case Latest:
		return c.n - 1 - c.zipf.next(r)
	case Hot:
		if c.n == 1 || r.Float64() < c.hot {
			return 0
		}
		return 1 + r.Uint64N(c.n-1)
	case Uniform:
	}
	return r.Uint64N(c.n)
}

// maxTheta keeps the arithmetic of zipf away from overflow.
const maxTheta = 10

// zipf draws ranks from 0 to n-1 with probabilities proportional to
// 1/(rank+1)^theta, by rejection-inversion: the area under the density's
// integral is inverted in closed form, and what falls outside the bars of the
// discrete distribution, a few draws of a hundred, is drawn again. It needs no
// table, so 10^8 keys cost what 10 do. Source: Hörmann and Derflinger 1996.
type zipf struct {
	theta  float64
	n      uint64
	first  float64 // hIntegral(1.5) - 1
	last   float64 // hIntegral(n + 0.5)
	accept float64 // distances up to this need no test
}

func newZipf(n uint64, theta float64) zipf {
	z := zipf{theta: theta, n: n}
	z.first = z.integral(1.5) - 1
	z.last = z.integral(float64(n) + 0.5)
	z.accept = 2 - z.inverse(z.integral(2.5)-z.density(2))
	return z
}

func (z *zipf) next(r *rand.Rand) uint64 {
	for {
		u := z.last + r.Float64()*(z.first-z.last)
		x := z.inverse(u)
		k := min(max(uint64(x+0.5), 1), z.n)
		if float64(k)-x <= z.accept || u >= z.integral(float64(k)+0.5)-z.density(float64(k)) {
			return k - 1
		}
	}
}

// density is x^-theta.
func (z *zipf) density(x float64) float64 { return math.Exp(-z.theta * math.Log(x)) }

// integral is that of density, (x^(1-theta) - 1) / (1-theta), and log x for
// theta = 1, continuous around it.
func (z *zipf) integral(x float64) float64 {
	l := math.Log(x)
	return expm1Over((1-z.theta)*l) * l
}

// inverse is the inverse of integral.
func (z *zipf) inverse(u float64) float64 {
	t := max(u*(1-z.theta), -1) // rounding may lead past the end
	return math.Exp(log1pOver(t) * u)
}

// small is where the quotients below are nearer by their series than by the
// functions of the library.
const small = 1e-8

func expm1Over(x float64) float64 {
	if math.Abs(x) > small {
		return math.Expm1(x) / x
	}
	return 1 + x/2*(1+x/3)
}

func log1pOver(x float64) float64 {
	if math.Abs(x) > small {
		return math.Log1p(x) / x
	}
	return 1 - x*(0.5-x/3)
}
