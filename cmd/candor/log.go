package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// logHandler writes one line a record: time, level, message, then key=value. Values that hold spaces
// or odd octets are quoted, so that a peer's bytes cannot forge a line.
type logHandler struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs string
}

func newLog(w io.Writer) *slog.Logger {
	return slog.New(&logHandler{mu: &sync.Mutex{}, w: w})
}

func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 512)
	b = r.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, ' ')
	b = append(b, strings.ToLower(r.Level.String())...)
	b = append(b, ' ')
	b = appendMessage(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, a)
		return true
	})
	b = append(b, '\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

// appendMessage appends a message, which is ours, but may hold what a library tells of a peer.
func appendMessage(b []byte, message string) []byte {
	if !strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return append(b, message...)
	}
	return strconv.AppendQuoteToASCII(b, message)
}

func appendAttr(b []byte, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, g := range v.Group() {
			b = appendAttr(b, g)
		}
		return b
	}
	if a.Key == "" {
		return b
	}
	b = append(b, ' ')
	b = append(b, a.Key...)
	b = append(b, '=')
	s := v.String()
	if v.Kind() == slog.KindTime {
		s = v.Time().UTC().Format(time.RFC3339)
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == 0x7f || r == '\uFFFD' }) {
		return strconv.AppendQuoteToASCII(b, s)
	}
	return append(b, s...)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := []byte(h.attrs)
	for _, a := range attrs {
		b = appendAttr(b, a)
	}
	return &logHandler{h.mu, h.w, string(b)}
}

// WithGroup is not used in Candor: keys are flat.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
