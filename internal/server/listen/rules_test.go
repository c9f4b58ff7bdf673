package listen

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		listeners []Listener
		rule      string
		text      string
	}{
		{"all defaults", []Listener{
			{Service: SMTP, Address: ":25", Mode: Opportunistic},
			{Service: Submission, Address: ":465", Mode: Implicit},
			{Service: Submission, Address: ":587", Mode: Required},
			{Service: IMAP, Address: ":993", Mode: Implicit},
			{Service: IMAP, Address: ":143", Mode: Required},
			{Service: POP3, Address: ":995", Mode: Implicit},
			{Service: POP3, Address: ":110", Mode: Required},
		}, "", ""},
		{"no mode", []Listener{{Service: IMAP, Address: ":143"}}, "CFG-00", "implicit, required, opportunistic, none"},
		{"no port", []Listener{{Service: IMAP, Address: "localhost", Mode: Required}}, "CFG-00", "host:port"},
		{"login in clear", []Listener{{Service: IMAP, Address: ":143", Mode: Opportunistic}}, "CFG-01", `tls = "required"`},
		{"none in public", []Listener{{Service: SMTP, Address: ":25", Mode: None}}, "CFG-02", `tls = "opportunistic"`},
		{"none at home", []Listener{{Service: IMAP, Address: "127.0.0.1:143", Mode: None}, {Service: IMAP, Address: "[::1]:143", Mode: None}}, "", ""},
		{"both on one port", []Listener{{Service: IMAP, Address: ":2993", Mode: Implicit}, {Service: IMAP, Address: ":2993", Mode: Required}}, "CFG-03", "cannot share a port"},
		{"two on one port", []Listener{{Service: IMAP, Address: ":2143", Mode: Required}, {Service: POP3, Address: ":2143", Mode: Required}}, "CFG-03", "is taken"},
		{"STARTTLS on 993", []Listener{{Service: IMAP, Address: ":993", Mode: Required}}, "CFG-04", `tls = "implicit"`},
		{"implicit on 587", []Listener{{Service: Submission, Address: ":587", Mode: Implicit}}, "CFG-04", `tls = "required"`},
		{"implicit MX", []Listener{{Service: SMTP, Address: ":2525", Mode: Implicit}}, "CFG-04", `tls = "opportunistic"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := Check(tc.listeners)
			if tc.rule == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			rule, ok := errors.AsType[*RuleError](err)
			if !ok || rule.Rule != tc.rule || !strings.Contains(rule.Error(), tc.text) || rule.Listener != len(tc.listeners)-1 {
				t.Errorf("got %v, want %s with %q", err, tc.rule, tc.text)
			}
		})
	}
}

func TestModeWords(t *testing.T) {
	t.Parallel()
	for _, m := range []Mode{Implicit, Required, Opportunistic, None} {
		var got Mode
		if err := got.UnmarshalText([]byte(m.String())); err != nil || got != m {
			t.Errorf("%s: got %s, %v", m, got, err)
		}
	}
	for _, word := range []string{"yes", "on", "auto", "optional", "", "Implicit"} {
		var m Mode
		if err := m.UnmarshalText([]byte(word)); err == nil || !strings.Contains(err.Error(), "implicit, required, opportunistic, none") {
			t.Errorf("%q: got %s, %v", word, m, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	_, err = New(Options{
		Listeners: []Listener{{Service: IMAP, Mode: Required, Address: "127.0.0.1:0"}, {Service: IMAP, Mode: Required, Address: taken.Addr().String()}},
		Handlers:  map[Service]Handler{IMAP: echo},
	})
	if want := "port " + port + " is in use; is another mail server running?"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
