// Package words counts the words of texts in a godwit cluster: from several
// datacenters at once, each its own texts, into one counter for each word
// ("word:the") and one set for each first letter ("letter:t").
//
// It owns what a word is, how the work is cut up, and the comparison of what
// the datacenters hold with the texts themselves. It does not know flags,
// files or terminals.
//
// A word is what `tr -cs A-Za-z '\n' | tr A-Z a-z` prints on a line that is not
// empty (POSIX.1-2017, tr, in the C locale): bytes, not characters.
package words

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Limits of a text.
const (
	maxWordBytes = 512
	maxWords     = 10_000_000
)

// Text is the words of one text, in their order, and where they are counted.
type Text struct {
	Name  string
	DC    string
	Words []string
}

// Read reads the words of a text in lower case.
func Read(r io.Reader) ([]string, error) {
	in := bufio.NewReader(r)
	var all []string
	var word []byte
	for {
		b, err := in.ReadByte()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return nil, fmt.Errorf("read text: %w", err)
		}
		lower := b | 0x20
		switch letter := !end && 'a' <= lower && lower <= 'z'; {
		case letter && len(word) == maxWordBytes:
			return nil, fmt.Errorf("word %d begins with %.40q and has more than %d letters", len(all)+1, word, maxWordBytes)
		case letter:
			word = append(word, lower)
		case len(word) > 0:
			if len(all) == maxWords {
				return nil, fmt.Errorf("text has more than %d words: cut it up", maxWords)
			}
			all = append(all, string(word))
			word = word[:0]
		}
		if end {
			return all, nil
		}
	}
}

// Counts is how often each word occurs.
type Counts map[string]int64

// Count counts the words of some texts together.
func Count(texts ...Text) Counts {
	c := Counts{}
	for _, t := range texts {
		for _, w := range t.Words {
			c[w]++
		}
	}
	return c
}

// Total is the number of words, each as often as it occurs.
func (c Counts) Total() int64 {
	var n int64
	for _, k := range c {
		n += k
	}
	return n
}

// Sorted are the different words in order.
func (c Counts) Sorted() []string { return slices.Sorted(maps.Keys(c)) }

// Letters are the different words by their first letter, each list in order.
func (c Counts) Letters() map[string][]string {
	letters := map[string][]string{}
	for _, w := range c.Sorted() {
		letters[w[:1]] = append(letters[w[:1]], w)
	}
	return letters
}
