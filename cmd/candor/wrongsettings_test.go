package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
)

// TestWrongSettingsAreKept: a restart forgets no program; who a stranger said to be is not written down.
func TestWrongSettingsAreKept(t *testing.T) {
	c, file := world(t)
	open := func() *parts {
		t.Helper()
		p, err := openParts(t.Context(), c, newLog(&mailtest.Buffer{}))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	from, now := netip.MustParseAddr("192.0.2.7"), time.Now().UTC()
	seen := func(port uint16, user string, last time.Time) listen.WrongSetting {
		return listen.WrongSetting{Remote: from, Service: listen.IMAP, Port: port, Seen: "credential", User: user, Times: 3, First: last, Last: last}
	}
	p := open()
	p.wrongSettings.Restore([]listen.WrongSetting{seen(143, "ann@example.org", now), seen(1143, "correct horse", now.Add(-time.Hour))})
	log := newLog(&mailtest.Buffer{})
	p.saveSettings(t.Context(), log, settingsRest)
	p.wrongSettings.Restore([]listen.WrongSetting{seen(2143, "", now.Add(time.Minute))})
	p.saveSettings(t.Context(), log, settingsRest) // it was just written
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open()
	hints, err := p.clientHints(t.Context())
	if err != nil || len(hints) != 2 || hints[0].Accounts[0].String() != "ann@example.org" || hints[0].Times != 3 || hints[1].Port != 1143 || hints[1].User != "" {
		t.Errorf("%+v, %v", hints, err)
	}
	p.wrongSettings.Restore([]listen.WrongSetting{seen(2143, "", now)})
	p.saveSettings(t.Context(), log, 0)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	out, errs, code := candor(t, "", "clients", "--config", file)
	if code != 0 || strings.Count(out, "tries to log in without encryption") != 3 {
		t.Errorf("where no server runs: exit %d\n%s%s", code, out, errs)
	}
}
