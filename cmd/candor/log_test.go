package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestLogLine: whatever a peer gets into a value or a message, a record is one line of ASCII.
func TestLogLine(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b)
	log.Info("http: error \"x\"\ninfo login ok user=mallory", "user", "a\r\nb", "sni", "x y=z", "empty", "", "odd", "\xff", "plain", "ann@example.org")
	_, got, _ := strings.Cut(b.String(), "Z ")
	const want = `info "http: error \"x\"\ninfo login ok user=mallory" user="a\r\nb" sni="x y=z" empty="" odd="\xff" plain=ann@example.org` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}
