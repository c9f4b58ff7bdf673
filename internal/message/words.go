package message

import (
	"strings"
	"time"

	"candor/internal/mail"
)

// words returns the part of a report that is for people (specification, section 10.3).
func (r *Report) words() string {
	var b strings.Builder
	b.WriteString("This is the mail system of " + string(r.By) + ".\n")
	for i := range r.Recipients {
		b.WriteByte('\n')
		b.WriteString(wrap(r.Recipients[i].words()))
	}
	if r.QueueID != "" {
		b.WriteString("\n" + wrap("If you ask the postmaster about it, give this number: "+r.QueueID))
	}
	return b.String()
}

// words tells what became of one recipient's copy, and what can be done.
func (p *RecipientReport) words() string {
	to := withoutControls(p.Address.String())
	switch p.Action {
	case Delivered:
		return "Your message to " + to + " was delivered."
	case Relayed:
		return "Your message to " + to + " was handed to " + p.host() + ", which does not report on its delivery."
	case Delayed:
		return "Your message to " + to + " has not been sent yet. " + p.delayed()
	}
	return "Your message to " + to + " was not delivered and will not be tried again. " + p.failed()
}

func (p *RecipientReport) host() string {
	if p.RemoteMTA == "" {
		return "the other server"
	}
	return asciiLine(p.RemoteMTA)
}

func (p *RecipientReport) domain() string { return withoutControls(p.Address.Domain.Unicode()) }

// delayed tells why the message waits: texts T-20, T-22 and T-23.
func (p *RecipientReport) delayed() string {
	if !p.failedCheck() {
		return p.reason() + p.tryAgain()
	}
	switch {
	case p.failedDNS():
		return p.dnsReason() + " We wait instead of guessing." + p.nextTry()
	case p.Transport.Fail == "requiretls-not-offered":
		return p.reason() + p.tryAgain()
	}
	return p.reason() + " This is a fault at " + p.domain() + " or someone interfering. Nothing was sent." + p.tryAgain() +
		" You can tell " + p.domain() + "'s postmaster: " + p.diagnostic()
}

// failed tells why the message came back: texts T-21 to T-23.
func (p *RecipientReport) failed() string {
	if !p.failedCheck() {
		return p.reason()
	}
	switch {
	case p.failedDNS():
		return "Reason: " + p.dnsReason()
	case p.Transport.Fail == "requiretls-not-offered":
		return p.reason() + " Only the headers are returned here."
	}
	return "Reason: " + p.reason() +
		" If the content may travel without this check, send it again with *Allow without check* (TLS-Required: No)."
}

// failedCheck reports whether the transport was refused by us, not the message by the other server.
func (p *RecipientReport) failedCheck() bool { return p.Reply == "" && p.Transport.Fail != "" }

func (p *RecipientReport) failedDNS() bool {
	return strings.HasPrefix(p.Transport.Fail, "dns-") || strings.HasPrefix(p.Transport.Fail, "tlsa-lookup-")
}

func (p *RecipientReport) dnsReason() string {
	_, state, _ := strings.Cut(strings.TrimPrefix(p.Transport.Fail, "tlsa-"), "-")
	return "The address data of " + p.domain() + " could not be verified (DNSSEC: " + asciiLine(state) + ")."
}

// reason tells in one or two sentences what went wrong.
func (p *RecipientReport) reason() string {
	switch {
	case p.Reply != "":
		return "The answer of " + p.host() + " was: " + asciiLine(p.Reply)
	case p.Transport.Fail == "requiretls-not-offered":
		return "You asked for checked encryption all the way, but " + p.host() + " does not support that request. Nothing was sent."
	case p.Transport.Fail != "":
		return p.demand() + " but the server that answered (" + p.host() + ") " + checkWords(p.Transport.Fail) + "."
	case p.Text != "":
		return "Reason: " + strings.TrimRight(withoutControls(p.Text), ".") + "."
	}
	return "The reason is not known."
}

// demand says who wants the check that failed.
func (p *RecipientReport) demand() string {
	source := p.Transport.FloorSource
	if strings.HasPrefix(source, "dane:") || strings.HasPrefix(source, "sts:") {
		return p.domain() + " announces that its mail server must be reached with encryption and a checked key,"
	}
	switch floor := p.Transport.Floor; {
	case floor <= mail.Clear:
		return "We tried to reach " + p.domain() + " with encryption,"
	case floor <= mail.EncryptedUnauthenticated:
		return "Mail to " + p.domain() + " must travel encrypted,"
	}
	return "Mail to " + p.domain() + " must travel with encryption and a checked key,"
}

// checkWords puts a value of tls.fail (specification, section 4.9) into words.
func checkWords(fail string) string {
	switch fail {
	case "starttls-not-offered", "starttls-refused":
		return "did not offer encryption"
	case "tlsa-mismatch", "pin-mismatch":
		return "showed a different key"
	case "pkix-name", "dane-ta-name", "sts-mx-not-in-policy":
		return "showed a certificate for another name"
	case "pkix-expired", "pkix-notyet", "dane-ta-expired":
		return "showed an expired certificate"
	case "starttls-injection", "response-injection":
		return "sent data that did not belong to the encrypted connection"
	}
	if strings.HasPrefix(fail, "handshake-") {
		return "could not set up encryption"
	}
	return "could not be checked"
}

func (p *RecipientReport) tryAgain() string {
	if p.RetryUntil.IsZero() {
		return " We try again."
	}
	return " We try again until " + p.RetryUntil.Format(timeForPeople) + "."
}

func (p *RecipientReport) nextTry() string {
	if p.NextAttempt.IsZero() {
		return ""
	}
	return " Next try " + p.NextAttempt.Format(timeForPeople) + "."
}

const timeForPeople = time.RFC1123Z

// wrap breaks text at spaces into lines of at most 70 octets where it can.
func wrap(text string) string {
	var b strings.Builder
	width := 0
	for _, w := range strings.Fields(text) {
		switch {
		case width == 0:
		case width+1+len(w) > 70:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(w)
		width += len(w)
	}
	b.WriteByte('\n')
	return b.String()
}
