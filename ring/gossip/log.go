package gossip

import (
	"context"
	"log/slog"
	"strings"

	"golang.org/x/time/rate"
)

// logWriter takes the lines that the library logs. It passes them on at their
// level, not more than a few a second because strangers can cause them, and
// reads two facts off them that the library tells in no other way: that a
// probe got no answer, and that somebody with another label knocked. The tests
// notice if a new version of the library words them otherwise.
type logWriter struct {
	log   *slog.Logger
	peers *peers
	limit *rate.Limiter
}

func newLogWriter(log *slog.Logger, p *peers) *logWriter {
	return &logWriter{log: log, peers: p, limit: rate.NewLimiter(5, 20)}
}

// Write takes one line: date, time, [LEVEL] and text. It never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	level, text := splitLine(string(line))
	if rest, ok := strings.CutPrefix(text, "Suspect "); ok {
		if id, ok := strings.CutSuffix(rest, " has failed, no acks received"); ok {
			w.peers.suspect(id)
		}
	}
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) || !w.limit.Allow() {
		return len(line), nil
	}
	if _, rest, ok := strings.Cut(text, "unacceptable label "); ok {
		label, from, _ := strings.Cut(rest, ": from=")
		w.log.WarnContext(ctx, "gossip of another cluster or datacenter refused",
			"node", w.peers.self, "label", strings.Trim(label, `"`), "from", from)
		return len(line), nil
	}
	w.log.Log(ctx, level, "memberlist", "node", w.peers.self, "text", text)
	return len(line), nil
}

// splitLine takes a line apart. Errors of the library are trouble of the
// network, of which there is always some: they count as warnings.
func splitLine(line string) (slog.Level, string) {
	line = strings.TrimSpace(line)
	_, rest, found := strings.Cut(line, "[")
	name, text, closed := strings.Cut(rest, "] ")
	if !found || !closed {
		return slog.LevelInfo, line
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	switch name {
	case "DEBUG":
		return slog.LevelDebug, text
	case "WARN", "ERR":
		return slog.LevelWarn, text
	default:
		return slog.LevelInfo, text
	}
}
