package imapd

import (
	"bytes"
	"context"
	"errors"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/imap"
	"candor/internal/proto/sasl"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// maxResponse is the longest line of a SASL exchange, in octets.
const maxResponse = 12288

// authenticate runs a SASL exchange. RFC 9051, section 6.2.2, RFC 4959.
func (s *session) authenticate(ctx context.Context, a imap.Authenticate) (imap.Response, error) {
	proof, ok := s.conn.Encrypted()
	if !ok {
		return imap.Response{}, mail.Errorf(mail.NeedTLS, "TLS required first")
	}
	x, err := s.server.directory.StartSASL(ctx, proof, s.attempt(a.Mechanism, a.Initial != nil))
	if err != nil {
		return imap.Response{}, s.failedLogin(a.Mechanism, "", err)
	}
	if err := s.exchange(ctx, x, a.Initial); err != nil {
		return imap.Response{}, s.failedLogin(a.Mechanism, x.Login(), err)
	}
	binding := x.Binding()
	if binding != "none" {
		s.conn.Bound()
	}
	return s.welcome(ctx, a.Mechanism, binding, x.Account())
}

// exchange passes challenges and responses between the client and x until x is done.
func (s *session) exchange(ctx context.Context, x *directory.Exchange, response []byte) error {
	for {
		challenge, done, err := s.step(ctx, x, response)
		clear(response)
		if err != nil {
			return err
		}
		if done && challenge == nil {
			return nil
		}
		if response, err = s.ask(challenge); err != nil {
			return x.BrokenOff(err)
		}
		if done {
			if len(response) > 0 {
				return mail.Errorf(mail.Syntax, "empty response expected")
			}
			return nil
		}
	}
}

// step takes one of an exchange. The time to log in does not run meanwhile.
func (s *session) step(ctx context.Context, x *directory.Exchange, response []byte) (challenge []byte, done bool, err error) {
	defer s.conn.Excuse(time.Now())
	return x.Next(ctx, response)
}

// ask sends a challenge and reads the response, which "*" cancels.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.send(imap.AppendContinue(s.scratch, challenge))
	if err := s.conn.Flush(); err != nil {
		return nil, lost(err)
	}
	line, err := s.conn.ReadLine(maxResponse)
	if errors.Is(err, listen.ErrLineTooLong) {
		return nil, mail.Errorf(mail.Syntax, "Response is too long")
	}
	if err != nil {
		return nil, lost(err)
	}
	defer clear(line)
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return nil, mail.Errorf(mail.Syntax, "Line must end in CRLF")
	}
	return sasl.DecodeResponse(text)
}
