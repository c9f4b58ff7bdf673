package pop3d

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/server/listen"
	"candor/internal/store/directory"
)

// saslCapability names the SASL capability: the mechanisms for this connection. RFC 5034, section 3.
func (s *session) saslCapability() string {
	offered := s.mechanisms()
	if len(offered) == 0 {
		return ""
	}
	return "SASL " + strings.Join(offered, " ")
}

func (s *session) mechanisms() []string { return s.server.Directory.Mechanisms(s.attempt("", false)) }

// auth runs a SASL exchange. Alone it lists the mechanisms, as programs from before CAPA expect.
// RFC 5034, section 4.
func (s *session) auth(ctx context.Context, args arguments) (reply, error) {
	mechanism, initial, hasInitial := bytes.Cut(args, []byte(" "))
	if len(mechanism) == 0 {
		return s.listMechanisms(), nil
	}
	attempt := s.attempt(strings.ToUpper(string(mechanism)), hasInitial)
	proof, _ := s.conn.Encrypted()
	x, err := s.server.Directory.StartSASL(ctx, proof, attempt)
	if mail.IsKind(err, mail.Unsupported) {
		s.notOffered("", attempt.Mechanism, err)
		return reply{}, mail.Wrap(mail.Unsupported, err, "Mechanism not offered: "+strings.Join(s.mechanisms(), " "))
	}
	if err != nil {
		return reply{}, err
	}
	var response []byte
	if hasInitial {
		if response, err = sasl.DecodeInitial(initial); err != nil {
			return reply{}, err
		}
	}
	if err := s.exchange(ctx, x, response); err != nil {
		return s.exchangeFailed(x, attempt.Mechanism, err)
	}
	binding := x.Binding()
	if binding != "none" {
		s.conn.Bound()
	}
	return s.enter(ctx, x.Account(), attempt.Mechanism, binding)
}

func (s *session) listMechanisms() reply {
	return reply{text: "Mechanisms follow", lines: func(c *listen.Conn) error {
		for _, m := range s.mechanisms() {
			c.WriteString(m + "\r\n")
		}
		return nil
	}}
}

// exchange passes challenges and responses on until the mechanism is done.
func (s *session) exchange(ctx context.Context, x *directory.Exchange, response []byte) error {
	for {
		challenge, done, err := s.step(ctx, x, response)
		clear(response)
		if err != nil || done && len(challenge) == 0 {
			return err
		}
		if response, err = s.prompt(challenge); err != nil {
			return x.BrokenOff(err)
		}
		if done {
			if len(response) > 0 {
				return mail.Errorf(mail.Syntax, "an empty response is expected")
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

// prompt sends a challenge and reads the response.
func (s *session) prompt(challenge []byte) ([]byte, error) {
	s.say("+ " + sasl.Encode(challenge))
	if err := s.conn.Flush(); err != nil {
		return nil, &lostError{err}
	}
	line, err := s.conn.ReadLine(s.server.Limits.AuthLine)
	if errors.Is(err, listen.ErrLineTooLong) {
		return nil, mail.Errorf(mail.Syntax, "Authentication exchange line too long")
	}
	if err != nil {
		return nil, &lostError{err}
	}
	line, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf {
		return nil, mail.Errorf(mail.Syntax, "lines end in CRLF")
	}
	return sasl.DecodeResponse(line)
}

// lostError says that the connection failed within an exchange.
type lostError struct{ error }

func (s *session) exchangeFailed(x *directory.Exchange, mechanism string, err error) (reply, error) {
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		s.lost(context.Background(), lost.error)
		return reply{silent: true}, nil
	case mail.IsKind(err, mail.Syntax) && directory.Reason(err) == "":
		return reply{}, err
	}
	return reply{}, s.denied(x.Login(), mechanism, err)
}
