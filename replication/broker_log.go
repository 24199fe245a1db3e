package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// brokerLog hands the server's log lines to slog. The server reports why it
// could not start nowhere else, so the first fatal line is kept.
type brokerLog struct {
	log *slog.Logger

	mu    sync.Mutex
	first error
}

func (l *brokerLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Noticef is a method of server.Logger. Notices are the banner and the like.
func (l *brokerLog) Noticef(format string, v ...any) {
	l.log.Debug("broker notice", "text", fmt.Sprintf(format, v...))
}

// Warnf is a method of server.Logger.
func (l *brokerLog) Warnf(format string, v ...any) {
	l.log.Warn("broker warning", "text", fmt.Sprintf(format, v...))
}

// Fatalf is a method of server.Logger. It returns: the starter looks at fatal.
func (l *brokerLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first != nil {
		return
	}
	l.first = errors.New(text)
	if strings.Contains(text, "listen") {
		l.first = fmt.Errorf("%w: %s", errListen, text)
	}
}

// Errorf is a method of server.Logger.
func (l *brokerLog) Errorf(format string, v ...any) {
	l.log.Error("broker error", "text", fmt.Sprintf(format, v...))
}

// Debugf is a method of server.Logger; the server is told not to call it.
func (l *brokerLog) Debugf(string, ...any) {}

// Tracef is a method of server.Logger; the server is told not to call it.
func (l *brokerLog) Tracef(string, ...any) {}
