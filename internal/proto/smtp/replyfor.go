package smtp

import "candor/internal/mail"

// ReplyFor translates err at the door: it is the SMTP column of docs/errors.md. The text of a
// mail.Error is fit for strangers; its cause is not in the reply and is the caller's to log.
func ReplyFor(err error) Reply {
	e := mail.AsError(err)
	return Reply{Code: codeFor(e), Status: e.Status, Lines: []string{e.Text}}
}

// codes are the basic codes of the kinds whose status does not choose among several. A kind that is
// absent has no reply of its own and is answered by its class.
var codes = map[mail.Kind]int{
	mail.Sequence:   503,
	mail.NoAddress:  550,
	mail.NotFound:   550,
	mail.InUse:      450,
	mail.TooBig:     552,
	mail.AuthFailed: 535,
	mail.AuthNeeded: 530,
	mail.Forbidden:  550,
	mail.Loop:       554,
	mail.Internal:   451,
}

func codeFor(e *mail.Error) int {
	switch e.Kind {
	case mail.Syntax:
		return bySubject(e, 500, 501)
	case mail.Unsupported:
		return bySubject(e, 502, 504)
	case mail.NeedTLS:
		// RFC 4954, section 6 has 538 for a mechanism that needs encryption; other commands get the
		// 530 of RFC 3207, section 4.
		if e.Status == (mail.Status{Class: 5, Subject: 7, Detail: 11}) {
			return 538
		}
		return 530
	case mail.OverQuota, mail.TooMany:
		return byClass(e, 452, 552)
	}
	code, ok := codes[e.Kind]
	if !ok || e.Status.Temporary() != (code/100 == 4) {
		return byClass(e, 451, 550)
	}
	return code
}

// bySubject tells a line that could not be taken (5.5.1, 5.5.2, and 5.5.6: too long a login) from a
// wrong argument (all others).
func bySubject(e *mail.Error, line, argument int) int {
	if s := e.Status; s.Subject == 5 && (s.Detail <= 2 || s.Detail == 6) {
		return line
	}
	return argument
}

func byClass(e *mail.Error, temporary, permanent int) int {
	if e.Status.Temporary() {
		return temporary
	}
	return permanent
}
