package topology

import (
	"math"
	"testing"
	"time"
)

func TestParseQuantities(t *testing.T) {
	tests := []struct {
		text       string
		size, rate int64 // -1: refused
	}{
		{text: "0", size: 0, rate: 0},
		{text: "1048576", size: 1048576, rate: 1048576},
		{text: "7B", size: 7, rate: 7},
		{text: "1KiB", size: 1024, rate: 1024},
		{text: "1kB", size: 1000, rate: 1000},
		{text: "256 KiB", size: 262144, rate: 262144},
		{text: "3MB", size: 3000000, rate: 3000000},
		{text: "2GiB", size: 2147483648, rate: 2147483648},
		{text: "50MiB/s", size: -1, rate: 52428800},
		{text: "1Gbit", size: -1, rate: 125000000},
		{text: "100Mbit/s", size: -1, rate: 12500000},
		{text: "8388607TiB", size: 9223370937343148032, rate: 9223370937343148032},
		{text: "8388608TiB", size: -1, rate: -1},
		{text: "9223372036854775808", size: -1, rate: -1},
		{text: "", size: -1, rate: -1},
		{text: "MiB", size: -1, rate: -1},
		{text: "-1MiB", size: -1, rate: -1},
		{text: "1.5MiB", size: -1, rate: -1},
		{text: "1mib", size: -1, rate: -1},
		{text: "1MiB/s/s", size: -1, rate: -1},
	}
	for _, tt := range tests {
		if got, err := parseSize(tt.text); (err != nil) != (tt.size < 0) || err == nil && got != tt.size {
			t.Errorf("parseSize(%q) = %d, %v, want %d", tt.text, got, err, tt.size)
		}
		if got, err := ParseRate(tt.text); (err != nil) != (tt.rate < 0) || err == nil && got != tt.rate {
			t.Errorf("ParseRate(%q) = %d, %v, want %d", tt.text, got, err, tt.rate)
		}
	}
}

func TestFormatQuantities(t *testing.T) {
	tests := []struct {
		n          int64
		size, rate string
	}{
		{n: 0, size: "0B", rate: "0"},
		{n: 1, size: "1B", rate: "1B/s"},
		{n: 1024, size: "1KiB", rate: "1KiB/s"},
		{n: 1025, size: "1025B", rate: "1025B/s"},
		{n: 1048576, size: "1MiB", rate: "1MiB/s"},
		{n: 125000000, size: "125000000B", rate: "1Gbit"},
		{n: 12500000, size: "12500000B", rate: "100Mbit"},
		{n: 125, size: "125B", rate: "1kbit"},
		{n: math.MaxInt64, size: "9223372036854775807B", rate: "9223372036854775807B/s"},
	}
	for _, tt := range tests {
		if got := formatSize(tt.n); got != tt.size {
			t.Errorf("formatSize(%d) = %s, want %s", tt.n, got, tt.size)
		}
		if got := formatRate(tt.n); got != tt.rate {
			t.Errorf("formatRate(%d) = %s, want %s", tt.n, got, tt.rate)
		}
		if got, err := ParseRate(tt.rate); err != nil || got != tt.n {
			t.Errorf("ParseRate(%s) = %d, %v, want %d", tt.rate, got, err, tt.n)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{d: 0, want: "0"},
		{d: 2 * time.Millisecond, want: "2ms"},
		{d: 10 * time.Second, want: "10s"},
		{d: 30 * time.Minute, want: "30m"},
		{d: 40 * time.Hour, want: "40h"},
		{d: 90 * time.Minute, want: "1h30m"},
		{d: time.Hour + 10*time.Second, want: "1h0m10s"},
		{d: 70*time.Second + time.Millisecond, want: "1m10.001s"},
	}
	for _, tt := range tests {
		if got := formatDuration(tt.d); got != tt.want {
			t.Errorf("formatDuration(%d) = %s, want %s", tt.d, got, tt.want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{a: "weight", b: "weight", want: 0},
		{a: "wieght", b: "weight", want: 1},
		{a: "", b: "set", want: 3},
		{a: "sett", b: "set", want: 1},
		{a: "kitten", b: "sitting", want: 3},
		{a: "ca", b: "abc", want: 3},
	}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%s, %s) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
