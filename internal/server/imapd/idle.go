package imapd

import (
	"bytes"
	"context"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/imap"
)

// idle tells changes as they happen until the client sends DONE. RFC 9051, section 6.3.13.
//
// While the loop waits for a change, a goroutine waits for input; idle waits for that to end before
// it reads or returns.
func (s *session) idle(ctx context.Context, _ imap.None) (imap.Response, error) {
	s.server.stats.idling.Add(1)
	defer s.server.stats.idling.Add(-1)
	if err := s.goAhead("+ idling\r\n"); err != nil {
		return imap.Response{}, lost(err)
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	input := make(chan error, 1)
	go func() { input <- s.conn.WaitInput(waiting, s.server.limits.Idle) }()
	arrived, err := s.watch(ctx, input)
	if !arrived {
		stop()
		<-input
	}
	if err != nil {
		return imap.Response{}, err
	}
	return s.done()
}

// watch tells changes until input tells of something to read, or of an error, in which case the
// waiting goroutine has ended.
func (s *session) watch(ctx context.Context, input <-chan error) (arrived bool, err error) {
	for {
		if err := s.standing(); err != nil {
			return false, err
		}
		if err := s.sync(ctx, true); err != nil {
			return false, err
		}
		if err := s.conn.Flush(); err != nil {
			return false, lost(err)
		}
		s.scratch = nil
		var changed <-chan struct{}
		if s.selected != nil {
			changed = s.selected.changed
		}
		select {
		case <-changed:
		case err := <-input:
			if err != nil && s.isClosing() {
				err = errShutdown
			}
			return true, lost(err)
		case <-s.closing:
			return false, lost(errShutdown)
		}
	}
}

func (s *session) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// done reads the line that ends IDLE.
func (s *session) done() (imap.Response, error) {
	line, err := s.conn.ReadLine(s.server.limits.Line)
	if err != nil {
		return imap.Response{}, lost(err)
	}
	if text, ok := bytes.CutSuffix(line, []byte("\r\n")); !ok || !strings.EqualFold(string(text), "DONE") {
		return imap.Response{}, mail.Errorf(mail.Syntax, "DONE expected")
	}
	return imap.Response{}, nil
}
