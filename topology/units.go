package topology

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var errUnit = errors.New("not a whole number with a known unit")

// unit is a suffix of a quantity and how many bytes one of it is.
type unit struct {
	suffix string
	bytes  int64
}

// sizeUnits returns the units of a size, the largest binary one first.
func sizeUnits() []unit {
	return []unit{
		{"TiB", 1 << 40},
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"KB", 1e3},
		{"B", 1},
		{"", 1},
	}
}

// bitUnits returns the units of a bandwidth in bits, in bytes per second.
func bitUnits() []unit {
	return []unit{{"Gbit", 1e9 / 8}, {"Mbit", 1e6 / 8}, {"kbit", 1e3 / 8}}
}

// ParseSize reads a number of bytes as topology files have it: 1048576, 1MiB, 1MB.
func ParseSize(s string) (int64, error) { return parseSize(s) }

func parseSize(s string) (int64, error) { return parseQuantity(s, sizeUnits()) }

// ParseRate reads a number of bytes per second as topology files have it:
// 50MiB/s, 1Gbit, 1Gbit/s, 1000. It is not negative.
func ParseRate(s string) (int64, error) {
	return parseQuantity(strings.TrimSuffix(s, "/s"), append(bitUnits(), sizeUnits()...))
}

func parseQuantity(s string, units []unit) (int64, error) {
	digits := strings.TrimLeft(s, "0123456789")
	number, suffix := s[:len(s)-len(digits)], strings.TrimPrefix(digits, " ")
	for _, u := range units {
		if suffix != u.suffix {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/u.bytes {
			return 0, fmt.Errorf("read the number %q: %w", number, errUnit)
		}
		return n * u.bytes, nil
	}
	return 0, errUnit
}

// formatSize writes a number of bytes in the largest binary unit that divides it.
func formatSize(n int64) string {
	for _, u := range sizeUnits()[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.suffix)
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// formatRate writes a number of bytes per second so that ParseRate reads it back.
func formatRate(n int64) string {
	if n == 0 {
		return "0"
	}
	if n%1024 != 0 {
		for _, u := range bitUnits() {
			if n%u.bytes == 0 {
				return fmt.Sprintf("%d%s", n/u.bytes, u.suffix)
			}
		}
	}
	return formatSize(n) + "/s"
}
