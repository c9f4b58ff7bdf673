package listen

import (
	"net"
	"strings"
	"testing"
)

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

func TestNoMode(t *testing.T) {
	t.Parallel()
	_, err := New(Options{Listeners: []Listener{{Name: "imap:143", Service: IMAP, Address: "127.0.0.1:0"}}, Handlers: map[Service]Handler{IMAP: echo}})
	if err == nil || !strings.Contains(err.Error(), "imap:143 has no TLS mode") {
		t.Errorf("got %v", err)
	}
}

// TestSocket: "0.0.0.0" does not take IPv6 by the way, and no host takes both.
func TestSocket(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"0.0.0.0:0": "0.0.0.0:", ":0": "[::]:", "127.0.0.1:0": "127.0.0.1:"} {
		p := Place{"test", address}
		all, err := OpenSockets([]Place{p}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close()
		got := all.at(p).Addr().String()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s", address, got)
		}
		if _, err := OpenSockets([]Place{{"again", got}}, nil); err == nil || !strings.Contains(err.Error(), "is in use") {
			t.Errorf("%s again: %v", address, err)
		}
	}
}
