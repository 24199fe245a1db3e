package topology_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

// eu is laid out as an operator would write it, with three mistakes.
const eu = `version: 1
cluster: shop
datacenters:
  - name: euw1
    nodes:
      - {id: euw1-a, advertise: 127.0.0.1}
      - {id: euw1-b, wieght: 3, advertise: 127.0.0.1}
      - {id: euw1-c, advertise: 127.0.0.1}
placements:
  - {name: eu-only, replicas: {euw1: 3}}
buckets:
  - {name: quick, placement: eu-only, read: one}
  - {name: carts, placement: eu}
`

func TestRenderShowsTheLineAndACaret(t *testing.T) {
	_, problems := topology.Parse("shop.yaml", []byte(eu))
	const want = `shop.yaml:7:22: error: unknown field "wieght" (did you mean "weight"?) [unknown-field]
    7 |       - {id: euw1-b, wieght: 3, advertise: 127.0.0.1}
      |                      ^
shop.yaml:12:45: warning: read + write = 3 does not exceed 3 replicas: a read may miss the latest write [weak-quorum]
   12 |   - {name: quick, placement: eu-only, read: one}
      |                                             ^
shop.yaml:13:30: error: bucket "carts": placement "eu" is not defined (defined: eu-only, global) [unknown-placement]
   13 |   - {name: carts, placement: eu}
      |                              ^
2 errors, 1 warning
`
	if got := rendered(t, problems); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestRenderCounts(t *testing.T) {
	mistake, doubt := topology.Problem{Severity: topology.Error}, topology.Problem{Severity: topology.Warning}
	tests := []struct {
		problems topology.Problems
		want     string
	}{
		{problems: topology.Problems{mistake}, want: "1 error, 0 warnings"},
		{problems: topology.Problems{doubt}, want: "0 errors, 1 warning"},
		{problems: topology.Problems{mistake, doubt, doubt}, want: "1 error, 2 warnings"},
	}
	for _, tt := range tests {
		if got := rendered(t, tt.problems); !strings.HasSuffix(got, "\n"+tt.want+"\n") {
			t.Errorf("got\n%swant %s", got, tt.want)
		}
	}
	if got := rendered(t, nil); got != "" {
		t.Errorf("no problems render as %q", got)
	}
}

func TestRenderKeepsTheCaretInPlace(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{
			name: "characters of several bytes count as one",
			file: "clustér: é", want: "    1 | clustér: é\n      | ^\n",
		},
		{
			name: "what a terminal would obey is not shown",
			file: "version: \"\u009b2J\"", want: "    1 | version: \"?2J\"\n      |          ^\n",
		},
		{
			name: "a long line is cut around the place",
			file: "version: 1                                                                                                    " +
				"                                                                                                           #\n" +
				"clock: {" + strings.Repeat(" ", 300) + "max_skew: x}",
			want: "    2 | " + strings.Repeat(" ", 148) + "max_skew: x}\n      | " + strings.Repeat(" ", 158) + "^\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := topology.Parse("f", []byte(tt.file))
			if got := rendered(t, problems); !strings.Contains(got, tt.want) {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestRenderReportsAFailingWriter(t *testing.T) {
	if err := (topology.Problems{{}}).Render(brokenPipe{}); !errors.Is(err, errPipe) {
		t.Errorf("error %v", err)
	}
}

var errPipe = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }
