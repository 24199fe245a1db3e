package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// maxMessage bounds one message of the browser: a screenshot is the longest.
const maxMessage = 64 << 20

// browser is a headless Chromium that is spoken to over two pipes, in messages of
// JSON that end with a zero byte. Not safe for concurrent use.
type browser struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	dir  string // its profile
	next int
	page string // the session of the one page

	complaints []string // of the page's console, and what it threw
	loaded     bool     // since the last navigation
}

// message is an answer (with an ID) or an event (with a Method).
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// open starts a browser with one empty page. ctx ends it; close does too.
func open(ctx context.Context, program string) (*browser, error) {
	dir, err := os.MkdirTemp("", "checkpage-")
	if err != nil {
		return nil, fmt.Errorf("make a profile for the browser: %w", err)
	}
	b := &browser{dir: dir}
	if err := b.start(ctx, program); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if err := b.openPage(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *browser) start(ctx context.Context, program string) error {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("make a pipe: %w", err), theirIn.Close(), in.Close())
	}
	// A container has no user namespaces, few shared pages and no graphics.
	b.cmd = exec.CommandContext(ctx, program, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars", "--user-data-dir="+filepath.Join(b.dir, "profile"), "about:blank")
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children, which end with it
	b.cmd.ExtraFiles = []*os.File{theirIn, theirOut}        // 3 and 4
	b.in, b.out = in, bufio.NewReader(out)
	err = b.cmd.Start()
	if e := errors.Join(theirIn.Close(), theirOut.Close()); err == nil && e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	return nil
}

// openPage attaches to the page that the browser began with.
func (b *browser) openPage() error {
	var target struct {
		ID string `json:"targetId"`
	}
	if err := b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	if err := b.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &session); err != nil {
		return err
	}
	b.page = session.ID
	for _, method := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		if err := b.call(method, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// call calls a method of the browser, or of the page once there is one.
func (b *browser) call(method string, params map[string]any, result any) error {
	b.next++
	request := map[string]any{"id": b.next, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.page != "" {
		request["sessionId"] = b.page
	}
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		m, err := b.read()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", method, err)
		case m.ID != b.next:
		case m.Error != nil:
			return fmt.Errorf("%s: the browser says %s", method, m.Error.Message)
		case result != nil:
			if err := json.Unmarshal(m.Result, result); err != nil {
				return fmt.Errorf("%s: %w", method, err)
			}
			return nil
		default:
			return nil
		}
	}
}

// read reads one message, and notes what an event says.
func (b *browser) read() (*message, error) {
	var text []byte
	for {
		part, err := b.out.ReadSlice(0)
		text = append(text, part...)
		if len(text) > maxMessage {
			return nil, fmt.Errorf("a message of more than %d bytes", maxMessage)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("the browser is gone: %w", err)
		}
	}
	m := &message{}
	if err := json.Unmarshal(text[:len(text)-1], m); err != nil {
		return nil, fmt.Errorf("read what the browser says: %w", err)
	}
	b.note(m)
	return m, nil
}

// note keeps what a page complains of.
func (b *browser) note(m *message) {
	var p struct {
		Type  string `json:"type"`
		Entry struct {
			Level, Text string
		} `json:"entry"`
		Details struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
	}
	if m.Method == "" || json.Unmarshal(m.Params, &p) != nil {
		return
	}
	switch m.Method {
	case "Page.loadEventFired":
		b.loaded = true
	case "Runtime.exceptionThrown":
		b.complaints = append(b.complaints, p.Details.Text+" "+p.Details.Exception.Description)
	case "Runtime.consoleAPICalled":
		if p.Type == "error" || p.Type == "warning" || p.Type == "assert" {
			b.complaints = append(b.complaints, "console: "+p.Type)
		}
	case "Log.entryAdded":
		if p.Entry.Level == "error" || p.Entry.Level == "warning" {
			b.complaints = append(b.complaints, p.Entry.Level+": "+p.Entry.Text)
		}
	}
}

// load opens an address in a colour scheme and waits until it is there.
func (b *browser) load(url, scheme string, width, height int) error {
	media := map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}
	if err := b.call("Emulation.setEmulatedMedia", media, nil); err != nil {
		return err
	}
	size := map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}
	if err := b.call("Emulation.setDeviceMetricsOverride", size, nil); err != nil {
		return err
	}
	b.loaded, b.complaints = false, nil
	var went struct {
		ErrorText string `json:"errorText"`
	}
	if err := b.call("Page.navigate", map[string]any{"url": url}, &went); err != nil {
		return err
	}
	if went.ErrorText != "" {
		return fmt.Errorf("open %s: %s", url, went.ErrorText)
	}
	for !b.loaded {
		if _, err := b.read(); err != nil {
			return fmt.Errorf("wait for %s: %w", url, err)
		}
	}
	return nil
}

// evaluate runs an expression in the page and decodes its value.
func (b *browser) evaluate(expression string, result any) error {
	var got struct {
		Result  struct{ Value json.RawMessage } `json:"result"`
		Details *struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
	}
	if err := b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got); err != nil {
		return err
	}
	if got.Details != nil {
		return fmt.Errorf("look at the page: %s %s", got.Details.Text, got.Details.Exception.Description)
	}
	if err := json.Unmarshal(got.Result.Value, result); err != nil {
		return fmt.Errorf("look at the page: %w", err)
	}
	return nil
}

// shot is a picture of the whole page, in PNG.
func (b *browser) shot() ([]byte, error) {
	var metrics struct {
		Size struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	if err := b.call("Page.getLayoutMetrics", nil, &metrics); err != nil {
		return nil, err
	}
	clip := map[string]any{"x": 0, "y": 0, "width": metrics.Size.Width, "height": metrics.Size.Height, "scale": 1}
	var picture struct {
		Data []byte `json:"data"` // base64 in JSON
	}
	err := b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip}, &picture)
	return picture.Data, err
}

// closeWithin is how long the browser may take to end.
const closeWithin = 5 * time.Second

// removeAgain is the pause between two attempts to remove its profile.
const removeAgain = 20 * time.Millisecond

// close ends the browser and removes its profile.
func (b *browser) close() error {
	if b.cmd != nil && b.cmd.Process != nil {
		b.cmd.WaitDelay = closeWithin
		_ = b.in.Close()                                      // it ends by itself when nobody speaks to it,
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // and if it does not
		_ = b.cmd.Wait()                                      // it was killed, so it says so
	}
	err := os.RemoveAll(b.dir)
	for end := time.Now().Add(closeWithin); err != nil && time.Now().Before(end); err = os.RemoveAll(b.dir) {
		<-time.After(removeAgain) // its children write until they are gone too
	}
	if err != nil {
		return fmt.Errorf("remove the profile of the browser: %w", err)
	}
	return nil
}
