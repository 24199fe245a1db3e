package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chzyer/readline"
	"github.com/google/shlex"
)

// promptText stands before every line.
const promptText = "godwit> "

// errLeave asks the prompt to end.
var errLeave = errors.New("leave")

// maxScript bounds the lines of a script.
const maxScript = 100_000

// scriptLines reads the script that a flag names, before anything starts.
func scriptLines(in *invocation) ([]string, error) {
	name := in.Path("script")
	if name == "" {
		return nil, nil
	}
	from := in.s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("read the script: %s", err)
		}
		defer f.Close() //nolint:errcheck // only read from
		from = f
	}
	var lines []string
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, maxInput)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) > maxScript {
			return nil, usagef("the script %s has more than %d lines", name, maxScript)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, usagef("read the script %s: %s", name, err)
	}
	return lines, nil
}

// script runs lines as the prompt would, echoes them, and ends with the first
// that fails.
func (s *session) script(ctx context.Context, lines []string) error {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.line(promptText + line); err != nil {
			return err
		}
		switch err := s.commands(ctx, line); {
		case errors.Is(err, errLeave):
			return nil
		case err != nil:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// commands runs the commands of a line, which a " ; " separates, until one fails.
func (s *session) commands(ctx context.Context, line string) error {
	words, err := shlex.Split(guarded(line))
	if err != nil {
		return usagef("%s: a quote is not closed", line)
	}
	for len(words) > 0 {
		command := words
		if i := slices.Index(words, separator); i >= 0 {
			command, words = words[:i], words[i+1:]
		} else {
			words = nil
		}
		if len(command) == 0 {
			continue
		}
		if command[0] == "exit" || command[0] == "quit" {
			return errLeave
		}
		if err := s.command(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// separator stands for a ; between commands: a word that nobody types.
const separator = "\x00;"

// guarded replaces every ; that stands alone outside quotes by the separator,
// for the words of shlex no longer tell whether they were quoted.
func guarded(line string) string {
	var out strings.Builder
	var quote rune
	escaped := false
	runes := []rune(line)
	for i, r := range runes {
		alone := r == ';' && quote == 0 && !escaped &&
			(i == 0 || runes[i-1] == ' ') && (i == len(runes)-1 || runes[i+1] == ' ')
		switch {
		case alone:
			out.WriteString(separator)
			continue
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		out.WriteRune(r)
	}
	return out.String()
}

// prompt reads commands until the input ends. Errors do not end it.
func (s *session) prompt(ctx context.Context) error {
	if !s.inTerminal {
		return s.pipe(ctx)
	}
	history := ""
	if home, err := os.UserHomeDir(); err == nil {
		history = filepath.Join(home, ".godwit_history")
	}
	rl, err := readline.NewEx(&readline.Config{
		Prompt: promptText, HistoryFile: history, HistoryLimit: 1000, HistorySearchFold: true,
		AutoComplete: completer{s}, InterruptPrompt: "^C", EOFPrompt: "exit",
	})
	if err != nil {
		return fmt.Errorf("start the prompt: %w", err)
	}
	defer rl.Close() //nolint:errcheck // the terminal is given back either way
	stop := context.AfterFunc(ctx, func() { _ = rl.Close() })
	defer stop()
	for ctx.Err() == nil {
		line, err := rl.Readline()
		if errors.Is(err, readline.ErrInterrupt) {
			continue
		}
		if err != nil {
			return nil // the end of the input, or of the process
		}
		if leave := s.typed(ctx, line); leave {
			return nil
		}
	}
	return nil
}

// typed runs one line and reports its errors; it tells whether the line asks to leave.
func (s *session) typed(ctx context.Context, line string) bool {
	if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.running.Store(&cancel)
	defer s.running.Store(nil)
	err := s.commands(ctx, line)
	if errors.Is(err, errLeave) {
		return true
	}
	if exitCode(err) == exitNotFound {
		fmt.Fprintln(s.err, "absent")
	}
	s.report(err)
	return false
}

// pipe is the prompt for an input that is no terminal.
func (s *session) pipe(ctx context.Context) error {
	lines, failed := make(chan string), make(chan error, 1)
	// The goroutine ends with its input, or with the process: a read cannot be
	// interrupted.
	go func() { failed <- feed(ctx, s.in, lines) }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case line := <-lines:
			if s.typed(ctx, line) {
				return nil
			}
		}
	}
}

// feed sends the lines of an input until it ends.
func feed(ctx context.Context, from io.Reader, lines chan<- string) error {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, maxInput)
	for scanner.Scan() {
		select {
		case lines <- scanner.Text():
		case <-ctx.Done():
			return nil
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read commands: %w", err)
	}
	return nil
}
