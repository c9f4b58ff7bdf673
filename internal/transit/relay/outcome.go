package relay

import (
	"errors"
	"fmt"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/trust/dns"
)

// This file decides what a failure means: the class of the status says whether the recipient is
// tried again, at the next host and then later (4), or given up at once (5). RFC 3463 gives the
// codes.
//
//	lookup fails                          later         4.4.3
//	domain or exchange says no            give up       5.1.2, 5.1.10, 5.4.4, 5.4.6
//	no connection, greeting, EHLO         next, later   4.4.1, 4.4.2, as told
//	521 for a greeting (RFC 7504)         next, give up as told
//	STARTTLS refused, handshake fails     next, later   4.7.5
//	MAIL, RCPT, DATA: 4yz                 next, later   as told
//	MAIL, RCPT, DATA: 5yz                 give up       as told
//	too many recipients (452, 552)        again, later  4.5.3
//	connection breaks                     next, later   4.4.2
//	8-bit address, no SMTPUTF8            give up       5.6.7
//	bigger than SIZE                      give up       5.3.4

// The values of tls.fail that are ours alone to tell.
const (
	failRefused   = "starttls-refused"
	failInjection = "response-injection"
)

// tlsFailed reports whether a tls.fail is one after which a later attempt may do without TLS. An
// injected reply is not: that is an attack, and must not reach what it is for.
func tlsFailed(fail string) bool {
	return fail == failRefused || fail == "cert-unparsable" || strings.HasPrefix(fail, "handshake-")
}

// lookupError is what a failure to find hosts or addresses means.
func lookupError(err error) *mail.Error {
	var f *dns.Failure
	if errors.As(err, &f) {
		return mail.Wrap(mail.Unavailable, err, fmt.Sprintf("the %s record of %s could not be looked up (%s)", f.Type, f.Name, f.Reason)).With(4, 4, 3)
	}
	return mail.AsError(err)
}

func lookupFail(err error) string {
	var f *dns.Failure
	if errors.As(err, &f) {
		return string(f.Reason)
	}
	return ""
}

func connectError(mta string, err error) *mail.Error {
	return mail.Wrap(mail.Unavailable, err, "no connection to "+mta).With(4, 4, 1)
}

// sessionError is what it means when a session ends, or is refused, before its transaction.
func sessionError(stage, mta string, reply smtp.Reply, err error) *mail.Error {
	if err != nil {
		return mail.Wrap(mail.Unavailable, err, fmt.Sprintf("the connection to %s failed at %s", mta, stage)).With(4, 4, 2)
	}
	e := replyError(stage, mta, reply)
	if reply.Code == 521 || e.Status.Temporary() {
		return e
	}
	// A host that does not want to talk to us now may be one of several, or overloaded.
	return e.With(4, e.Status.Subject, e.Status.Detail)
}

func tlsError(mta, fail string, reply smtp.Reply, err error) *mail.Error {
	switch {
	case fail == failRefused:
		return mail.Errorf(mail.Unavailable, "%s offered STARTTLS and refused it: %s", mta, said(reply)).With(4, 7, 5)
	case fail == failInjection:
		return mail.Wrap(mail.Unavailable, err, "someone put words into the session with "+mta+" before TLS").With(4, 7, 5)
	case fail == "":
		return sessionError("STARTTLS", mta, reply, err)
	}
	return mail.Wrap(mail.Unavailable, err, fmt.Sprintf("TLS with %s failed (%s)", mta, fail)).With(4, 7, 5)
}

// replyError is what a reply other than the one hoped for means. One that is none of the sort, such
// as 354 to MAIL, is taken for a passing disorder.
func replyError(stage, mta string, reply smtp.Reply) *mail.Error {
	e := mail.Errorf(mail.RemoteFailure, "%s said to %s: %s", mta, stage, said(reply))
	class := reply.Class()
	if class != 4 && class != 5 {
		return e.With(4, 5, 0)
	}
	if tooMany(reply) {
		return e.With(4, 5, 3)
	}
	if reply.Status != (mail.Status{}) {
		return e.With(reply.Status.Class, reply.Status.Subject, reply.Status.Detail)
	}
	return e.With(uint16(class), 0, 0)
}

// tooMany reports whether a reply to RCPT asks for another transaction. RFC 5321, section 4.5.3.1.10
// wants 552 without a status understood so too.
func tooMany(reply smtp.Reply) bool {
	switch reply.Code {
	case 452:
		return reply.Status == (mail.Status{}) || (reply.Status.Subject == 5 && reply.Status.Detail == 3)
	case 552:
		return reply.Status == mail.Status{Class: 5, Subject: 5, Detail: 3}
	}
	return false
}

func tooBig(mta string, limit int64) *mail.Error {
	return mail.Errorf(mail.TooBig, "the message is larger than the %d octets that %s accepts", limit, mta)
}

func needsUTF8(mta string) *mail.Error {
	return mail.Errorf(mail.Unsupported, "%s does not accept internationalised addresses or headers", mta).With(5, 6, 7)
}

func bodyError(err error) *mail.Error {
	return mail.Wrap(mail.Internal, err, "the message could not be read from the store")
}

// maxSaid bounds what is kept of a reply.
const maxSaid = 500

// said is a reply on one line, for the log and for reports, without control characters.
func said(reply smtp.Reply) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == 0xfffd || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, reply.String())
	if len(s) > maxSaid {
		s = strings.ToValidUTF8(s[:maxSaid], "") + "..."
	}
	return s
}
