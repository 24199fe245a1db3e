package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// json writes v as one line of JSON.
func (s *session) json(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// table writes rows in aligned columns without lines.
func (s *session) table(header []string, rows [][]string) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.AppendHeader(rowOf(header))
	for _, r := range rows {
		t.AppendRow(rowOf(r))
	}
	return s.line(t.Render())
}

func rowOf(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	return row
}

// jsonBytes is how bytes stand in JSON: as a string if they are UTF-8.
func jsonBytes[T ~string | ~[]byte](b T) any {
	if utf8.ValidString(string(b)) {
		return string(b)
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(b))}
}

func jsonList(elements []string) []any {
	out := make([]any, len(elements))
	for i, e := range elements {
		out[i] = jsonBytes(e)
	}
	return out
}

// shown is how bytes stand in a table: printable, on one line, not too long.
func shown[T ~string | ~[]byte](b T) string {
	s := string(b)
	if plain := strconv.Quote(s); !utf8.ValidString(s) || plain[1:len(plain)-1] != strings.ReplaceAll(s, `"`, `\"`) {
		s = plain
	}
	if runes := []rune(s); len(runes) > shownWidth {
		return string(runes[:shownWidth-1]) + "…"
	}
	return s
}

// shownWidth is how much of a value a table shows.
const shownWidth = 60

// token is how a context or a page stands in output and on command lines.
func token(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// tokenBytes reads what token wrote.
func tokenBytes(flag, given string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(given, "="))
	if err != nil {
		return nil, usagef("--%s %.40q is not what an earlier answer gave", flag, given)
	}
	return b, nil
}

// duration is a time for people: three digits.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.2gms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// bytesShown is a number of bytes for people.
func bytesShown(n uint64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatUint(n, 10) + "B"
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f%ciB", f, "KMGTP"[i])
}
