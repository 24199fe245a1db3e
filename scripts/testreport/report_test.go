package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const passing = `{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a","Elapsed":0.1}
`
	tests := []struct {
		name, in, wantOut, wantErrs string
		wantCode                    int
	}{
		{
			name:    "a pass prints go's line and no chatter",
			in:      passing,
			wantOut: "ok  \tm/a\t0.1s\n\n1 tests passed, 0 failed, 0 skipped\n",
		},
		{
			name: "a package without tests is no skip",
			in: passing + `{"Action":"output","Package":"m/b","Output":"?   \tm/b\t[no test files]\n"}
{"Action":"skip","Package":"m/b"}
`,
			wantOut: "ok  \tm/a\t0.1s\n?   \tm/b\t[no test files]\n\n1 tests passed, 0 failed, 0 skipped\n",
		},
		{
			name: "a failure is printed whole",
			in: passing + `{"Action":"output","Package":"m/b","Test":"TestBad","Output":"    b_test.go:7: got 1, want 2\n"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b\t0.2s\n"}
{"Action":"fail","Package":"m/b"}
`,
			wantOut: "ok  \tm/a\t0.1s\n    b_test.go:7: got 1, want 2\n--- FAIL: TestBad (0.00s)\nFAIL\tm/b\t0.2s\n" +
				"\n1 tests passed, 1 failed, 0 skipped\n--- FAIL: TestBad (m/b)\nFAIL\tm/b\n",
			wantErrs: "testreport: tests failed\n",
			wantCode: 1,
		},
		{
			name: "a skipped test fails the run and is named",
			in: passing + `{"Action":"output","Package":"m/b","Test":"TestRoot/netns","Output":"    b_test.go:9: needs root\n"}
{"Action":"skip","Package":"m/b","Test":"TestRoot/netns"}
`,
			wantOut: "ok  \tm/a\t0.1s\n    b_test.go:9: needs root\n" +
				"\n1 tests passed, 0 failed, 1 skipped\n--- SKIP: TestRoot/netns (m/b)\n",
			wantErrs: "testreport: a skipped test proves nothing: give it what it needs, or take it out of this run\n",
			wantCode: 1,
		},
		{
			name: "what a test said before its process died is printed",
			in: `{"Action":"output","Package":"m/b","Test":"TestHang","Output":"waiting for b\n"}
{"Action":"output","Package":"m/b","Output":"exit status 2\n"}
{"Action":"fail","Package":"m/b"}
`,
			wantOut:  "waiting for b\nexit status 2\n\n0 tests passed, 0 failed, 0 skipped\nFAIL\tm/b\n",
			wantErrs: "testreport: tests failed\nno tests ran\n",
			wantCode: 1,
		},
		{
			name: "a build failure is printed",
			in: `{"ImportPath":"m/c","Action":"build-output","Output":"c.go:3:1: undefined: x\n"}
{"ImportPath":"m/c","Action":"build-fail"}
{"Action":"output","Package":"m/c","Output":"FAIL\tm/c [build failed]\n"}
{"Action":"fail","Package":"m/c","FailedBuild":"m/c"}
` + passing,
			wantOut: "c.go:3:1: undefined: x\nFAIL\tm/c [build failed]\nok  \tm/a\t0.1s\n" +
				"\n1 tests passed, 0 failed, 0 skipped\nFAIL\tm/c\n",
			wantErrs: "testreport: tests failed\n",
			wantCode: 1,
		},
		{
			name:     "nothing at all is a failure",
			in:       "go: warning: \"./...\" matched no packages\n",
			wantOut:  "go: warning: \"./...\" matched no packages\n\n0 tests passed, 0 failed, 0 skipped\n",
			wantErrs: "testreport: no tests ran\n",
			wantCode: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs strings.Builder
			if code := run(strings.NewReader(tt.in), &out, &errs); code != tt.wantCode {
				t.Errorf("exit code %d, want %d", code, tt.wantCode)
			}
			if out.String() != tt.wantOut {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), tt.wantOut)
			}
			if errs.String() != tt.wantErrs {
				t.Errorf("said %q, want %q", errs.String(), tt.wantErrs)
			}
		})
	}
}
