package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/server/web"
	"candor/internal/transit/queue"
)

// TestShowPath: what is known is told with its floor, and what others claim as no more than that.
func TestShowPath(t *testing.T) {
	p := web.MessagePath{Record: queue.Record{
		ID: "06h029q0248fr65c", Time: time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC), Hop: message.InboundHop, Listener: "smtp:25",
		Transport: mail.Transport{
			State: mail.EncryptedUnauthenticated, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.StartTLS,
			Version: "TLS1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "x25519", Peer: "none",
		},
		Helo: "out\x1b.test", RIP: "198.51.100.20", Domain: "sender.test", Forged: true,
		Claimed: []message.Claim{{By: "a.test", With: "ESMTPS", TLS: "TLS_AES_256_GCM_SHA384"}, {}}, Hops: 3,
	}}
	p.Words = p.Record.Words("", "")
	var out bytes.Buffer
	showPath(&out, &p)
	want := `06h029q0248fr65c came in 2026-09-01T10:00:00Z
  hop        inbound smtp:25
  state      encrypted-unauthenticated: Encrypted. It was not checked who was at the other end. Least accepted: clear text, demanded by the rule that a public mail server takes what comes.
  TLS        TLS1.3, TLS_AES_128_GCM_SHA256, x25519
  peer       198.51.100.20 (calls itself "out\x1b.test")
  from       sender.test
  note       it came with a Candor-Transport field, which was removed: only this server writes that
  before     Other servers say: a.test took it with ESMTPS (TLS_AES_256_GCM_SHA384); a server took it; and 1 more. Candor cannot check this.
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMessagePathOfNothing: an id that is not known is an error with words.
func TestMessagePathOfNothing(t *testing.T) {
	_, file := world(t)
	for _, args := range [][]string{{"message", "path", "06h029q0248fr65c"}, {"message", "path", "06h029q0248fr65c", "--json"}} {
		if _, errs, code := candor(t, "", append(args, "--config", file)...); code != exitFailed || !strings.Contains(errs, "there is no record of") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	if out, errs, code := candor(t, "", "message", "counts", "--config", file); code != 0 || out != "" {
		t.Errorf("counts: exit %d, %s%s", code, out, errs)
	}
}
