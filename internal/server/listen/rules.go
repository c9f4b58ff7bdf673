package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// RuleError is a combination that the specification, section 2.2 refuses. Listener names the
// culprit by its index, so that the reader of the configuration can add file and line.
type RuleError struct {
	Listener int
	Rule     string // "CFG-03"
	Text     string // what is wrong, and the shortest legal alternative
}

func (e *RuleError) Error() string { return e.Rule + ": " + e.Text }

// Check refuses listeners that contradict CFG-01 to CFG-04 or the modes that a service allows. The
// error is a *RuleError. New calls it too.
func Check(listeners []Listener) error {
	for i := range listeners {
		l := &listeners[i]
		if rule, text := l.check(); text != "" {
			return &RuleError{i, rule, fmt.Sprintf("listener %s: %s", l.Name, text)}
		}
		for _, other := range listeners[:i] {
			if rule, text := l.clash(other); text != "" {
				return &RuleError{i, rule, fmt.Sprintf("listener %s: %s", l.Name, text)}
			}
		}
	}
	return nil
}

// check returns the rule that the listener breaks by itself, and what to write instead.
func (l *Listener) check() (rule, text string) {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return "CFG-00", fmt.Sprintf("address %q is not host:port", l.Address)
	}
	switch {
	case l.Mode == NoMode:
		return "CFG-00", "tls is missing: write " + strings.Join(modeNames[1:], ", ")
	case l.Service == SMTP && l.Mode == Implicit:
		return "CFG-04", `smtp is spoken with STARTTLS: write tls = "opportunistic"`
	case l.Service.authenticates() && l.Mode == Opportunistic:
		return "CFG-01", fmt.Sprintf(`%s lets people log in, so TLS cannot be left to them: write tls = "required"`, l.Service)
	case l.Mode == None && !loopback(host):
		return "CFG-02", `without TLS only on a loopback address, or with an insecure table: write tls = "` + l.usual() + `"`
	}
	switch port {
	case "465", "993", "995":
		if l.Mode.startsTLS() {
			return "CFG-04", fmt.Sprintf(`port %s speaks TLS from the start: write tls = "implicit"`, port)
		}
	case "25", "587", "143", "110":
		if l.Mode == Implicit {
			return "CFG-04", fmt.Sprintf(`port %s starts in clear and changes to TLS: write tls = %q`, port, l.usual())
		}
	}
	return "", ""
}

// usual is the STARTTLS mode that fits the service.
func (l *Listener) usual() string {
	if l.Service == SMTP {
		return Opportunistic.String()
	}
	return Required.String()
}

// clash refuses two listeners of one address and port.
func (l *Listener) clash(other Listener) (rule, text string) {
	if l.Address != other.Address || strings.HasSuffix(l.Address, ":0") {
		return "", ""
	}
	if (l.Mode == Implicit) != (other.Mode == Implicit) {
		return "CFG-03", "implicit TLS and STARTTLS cannot share a port: in one the client speaks first in TLS, " +
			"in the other the server speaks first in clear text; give them ports of their own"
	}
	return "CFG-03", fmt.Sprintf("address %s is taken by listener %s: remove one of the two", l.Address, other.Name)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
