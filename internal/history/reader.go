package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// ErrTooLong reports a history with more records than the reader allows.
var ErrTooLong = errors.New("history has too many records")

// Read ranges over the records of a history. Lines that are empty are skipped;
// an error names the line and ends the history.
func Read(r io.Reader) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxLine)
		n := 0
		for lines.Scan() {
			n++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			rec, err := decode(lines.Bytes())
			if err != nil {
				yield(nil, fmt.Errorf("history line %d: %w", n, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than the %d bytes allowed", maxLine)
		}
		if err != nil {
			yield(nil, fmt.Errorf("history line %d: %w", n+1, err))
		}
	}
}

// ReadAll reads a history of at most limit records; more are ErrTooLong.
func ReadAll(r io.Reader, limit int) ([]*Record, error) {
	var all []*Record
	for rec, err := range Read(r) {
		if err != nil {
			return nil, err
		}
		if len(all) == limit {
			return nil, fmt.Errorf("%w: at most %d", ErrTooLong, limit)
		}
		all = append(all, rec)
	}
	return all, nil
}

// decode reads one line. Fields it does not know are errors: a misspelt one
// would go unchecked.
func decode(line []byte) (*Record, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var rec Record
	if err := d.Decode(&rec); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a record: something follows it on its line")
	}
	if err := rec.Check(); err != nil {
		return nil, err
	}
	return &rec, nil
}
