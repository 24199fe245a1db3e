package wan

import (
	"errors"
	"testing"
	"time"
)

func TestParseRTTs(t *testing.T) {
	dcs := []string{"use1", "euw1", "us-east", "eu-west", "us", "east-eu", "eu"}
	tests := []struct {
		name, text string
		a, b       string
		want       time.Duration
	}{
		{"given", "use1-euw1=90ms", "use1", "euw1", 90 * ms},
		{"order does not matter", "use1-euw1=90ms", "euw1", "use1", 90 * ms},
		{"names with a dash", "us-east-eu-west=70ms", "us-east", "eu-west", 70 * ms},
		{"blanks and several entries", " use1-euw1 = 90ms , us-eu-west=1s", "eu-west", "us", time.Second},
		{"empty list, well-known pair", "", "euw1", "use1", 76 * ms},
		{"what is not given stays", "us-eu-west=1s", "use1", "euw1", 76 * ms},
		{"unknown pair", " ", "x", "y", 80 * ms},
		{"a datacenter and itself", "", "use1", "use1", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rtts, err := ParseRTTs(tt.text, dcs)
			if err != nil {
				t.Fatal(err)
			}
			if got := rtts.Between(tt.a, tt.b); got != tt.want {
				t.Errorf("Between(%s, %s) = %s, want %s", tt.a, tt.b, got, tt.want)
			}
		})
	}
}

func TestParseRTTsErrors(t *testing.T) {
	dcs := []string{"use1", "euw1", "us", "us-east", "east-eu", "eu"}
	const known = "(known: east-eu, eu, euw1, us, us-east, use1)"
	tests := []struct{ name, text, want string }{
		{"no time", "use1-euw1", `round trip "use1-euw1": want FROM-TO=TIME, as in use1-euw1=76ms`},
		{"empty entry", "use1-euw1=1ms,", `round trip "": want FROM-TO=TIME, as in use1-euw1=76ms`},
		{"no unit", "use1-euw1=76", `round trip "use1-euw1=76": "76" is no time; give a number and a unit, as in 76ms`},
		{"negative", "use1-euw1=-1ms", `round trip "use1-euw1=-1ms": -1ms is not between 0s and 1m0s`},
		{"too long", "use1-euw1=61s", `round trip "use1-euw1=61s": 1m1s is not between 0s and 1m0s`},
		{"second name unknown", "use1-mars=1ms", `round trip "use1-mars=1ms": unknown datacenter "mars" ` + known},
		{"first name unknown", "mars-use1=1ms", `round trip "mars-use1=1ms": unknown datacenter "mars" ` + known},
		{"one name", "use1=1ms", `round trip "use1=1ms": unknown datacenter "use1" ` + known},
		{"itself", "use1-use1=1ms", `round trip "use1-use1=1ms": "use1" is paired with itself`},
		{
			"two readings", "us-east-eu=1ms",
			`round trip "us-east-eu=1ms": may be read as us and east-eu or as us-east and eu; rename a datacenter`,
		},
		{"given twice", "use1-euw1=1ms,euw1-use1=2ms", `round trip "euw1-use1=2ms": the pair was given before, as 1ms`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseRTTs(tt.text, dcs); err == nil || err.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
	if _, err := ParseRTTs("use1-mars=1ms", dcs); !errors.Is(err, ErrUnknownDC) {
		t.Errorf("%v is not ErrUnknownDC", err)
	}
}

func TestWellKnownRoundTrips(t *testing.T) {
	var known RTTs
	tests := []struct {
		a, b string
		want time.Duration
	}{
		{"use1", "euw1", 76 * ms},
		{"use1", "apne1", 146 * ms},
		{"euw1", "apne1", 210 * ms},
		{"sae1", "apse1", 322 * ms},
		{"euc1", "euw1", 26 * ms},
		{"sae1", "euw1", 178 * ms},
	}
	for _, tt := range tests {
		if got := known.Between(tt.a, tt.b); got != tt.want {
			t.Errorf("Between(%s, %s) = %s, want %s", tt.a, tt.b, got, tt.want)
		}
	}
	if got := known.Profile("use1", "euw1"); got != (Profile{Latency: 38 * ms}) {
		t.Errorf("Profile(use1, euw1) = %+v, want 38ms one way", got)
	}
	regions := []string{"use1", "usw2", "euw1", "euc1", "apne1", "apse1", "aps1", "sae1"}
	for i, a := range regions {
		for _, b := range regions[:i] {
			if known.Between(a, b) == 80*ms {
				t.Errorf("%s-%s is not in the table", a, b)
			}
		}
	}
}
