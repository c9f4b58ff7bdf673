package directory

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
)

// inClear is an attempt on a connection without TLS.
func inClear(s Service, method, from string) Attempt {
	a := seenAt(s, method, "", from)
	a.Peer.Transport = mail.Transport{State: mail.Clear}
	return a
}

// settled waits until all that came in clear was looked at.
func settled() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func exposedNow(t testing.TB, d *Directory) []Exposed {
	t.Helper()
	all, err := d.ExposedCredentials(t.Context())
	must(t, err)
	return all
}

// TestExposure: a right password in clear marks exactly its credential, once; a wrong one, of whoever, nobody's.
func TestExposure(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		var told []string
		d.OnExposed(func(_ context.Context, e Exposed, rip string) {
			told = append(told, e.Words(rip, "Change it here: https://mail.example.org/."))
		})
		phone := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "phone"})
		before := d.Stats()
		d.InClear(inClear(IMAP, "IMAP-LOGIN", "198.51.100.9"), "bob@example.org", []byte("not bob"))
		d.InClear(inClear(IMAP, "IMAP-LOGIN", "198.51.100.9"), "nobody@example.org", []byte("x"))
		d.InClear(inClear(Submission, "LOGIN", "198.51.100.9"), "bob@example.org", nil)
		settled()
		if all := exposedNow(t, d); len(all) != 0 || len(told) != 0 {
			t.Fatalf("a wrong password: %+v, told %q", all, told)
		}
		secret := []byte(phone)
		d.InClear(inClear(Submission, "PLAIN", "198.51.100.9"), "ALICE@example.org", secret)
		clear(secret) // it stays the caller's
		settled()
		all := exposedNow(t, d)
		if len(all) != 1 || all[0].Name != "phone" || all[0].Service != Submission || all[0].From.String() != "198.51.100.0/24" || all[0].Effect != Notify {
			t.Fatalf("%+v", all)
		}
		want := `The app password "phone" for alice@example.org was sent without encryption from 198.51.100.9 on ` +
			all[0].At.Format("2006-01-02 15:04 UTC") + " by a program. Others on the way may have read it. Change it here: https://mail.example.org/. " +
			"Then set *Connection security* to *SSL/TLS*, port 465."
		if len(told) != 1 || told[0] != want {
			t.Errorf("told %q, want %q", told, want)
		}
		d.InClear(inClear(Submission, "PLAIN", "198.51.100.9"), "alice", []byte(phone))
		settled()
		if len(told) != 1 {
			t.Errorf("told again: %q", told)
		}
		after := d.Stats()
		if after.Logins != before.Logins || after.CacheEntries != before.CacheEntries || after.CacheMisses != before.CacheMisses || after.Unencrypted != 0 || len(after.Refused) != 0 {
			t.Errorf("it counts as a login: %+v", after)
		}
		if fmt.Sprint(after.ClearCredentials) != "map[imap-known:1 imap-unknown:1 pop3-known:0 pop3-unknown:0 submission-known:3 submission-unknown:0]" || after.Exposed != 1 {
			t.Errorf("counted: %v, %d exposed", after.ClearCredentials, after.Exposed)
		}
		expect(t, d, "with the exposed password", IMAP, "alice", phone, "alice@example.org")
		if a := d.ExposureAlarms(); len(a) != 1 || a[0].ID != "A-134" || !strings.Contains(a[0].Text, "revoke alice@example.org") {
			t.Errorf("alarms: %+v", a)
		}
	})
}

// TestExposureEffects: what the policy says becomes of the credential, and of no other.
func TestExposureEffects(t *testing.T) {
	for effect, want := range map[Exposure][3]string{ // at once, within a week, after it
		Notify:        {"alice@example.org", "alice@example.org", "alice@example.org"},
		RequireChange: {"alice@example.org", "alice@example.org", "exposed"},
		Disable:       {"exposed", "exposed", "exposed"},
	} {
		t.Run(string(effect), func(t *testing.T) {
			inBubble(t, func(t *testing.T, d *Directory) {
				d.SetPolicy(Policy{OnExposure: effect})
				phone := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "phone"})
				expect(t, d, "before", IMAP, "alice", "alice", "alice@example.org") // it is cached
				d.InClear(inClear(POP3, "POP3-USER", "198.51.100.9"), "alice", []byte("alice"))
				settled()
				expect(t, d, "at once", IMAP, "alice", "alice", want[0])
				time.Sleep(6 * 24 * time.Hour)
				expect(t, d, "within a week", IMAP, "alice", "alice", want[1])
				time.Sleep(24 * time.Hour)
				expect(t, d, "after a week", IMAP, "alice", "alice", want[2])
				expect(t, d, "another credential", IMAP, "alice", phone, "alice@example.org")
				must(t, d.SetPassword(t.Context(), addr(t, "alice@example.org"), "new"))
				expect(t, d, "changed", IMAP, "alice", "new", "alice@example.org")
				if all := exposedNow(t, d); len(all) != 0 {
					t.Errorf("after the change: %+v", all)
				}
			})
		})
	}
}

// TestStrongerPolicy: a credential that is exposed again meets the policy of today.
func TestStrongerPolicy(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for _, effect := range []Exposure{Notify, Disable, RequireChange} {
			d.SetPolicy(Policy{OnExposure: effect})
			d.InClear(inClear(IMAP, "IMAP-LOGIN", "198.51.100.9"), "alice", []byte("alice"))
			settled()
		}
		if all := exposedNow(t, d); len(all) != 1 || all[0].Effect != Disable {
			t.Errorf("%+v", all)
		}
	})
}

// TestTighten: a stricter policy holds for what was exposed before it, once; a milder one takes nothing back.
func TestTighten(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		told := make(chan Exposed, 9)
		d.OnExposed(func(_ context.Context, e Exposed, _ string) { told <- e })
		phone := appPasswordOf(t, d, "alice@example.org", NewAppPassword{Name: "phone"})
		d.InClear(inClear(IMAP, "IMAP-LOGIN", "198.51.100.9"), "alice", []byte("alice"))
		settled()
		if e := <-told; e.Effect != Notify {
			t.Errorf("at first: %+v", e)
		}
		for _, c := range []struct{ effect, holds Exposure }{{RequireChange, RequireChange}, {RequireChange, RequireChange}, {Disable, Disable}, {Notify, Disable}} {
			before := exposedNow(t, d)[0]
			d.SetPolicy(Policy{OnExposure: c.effect})
			settled()
			all := exposedNow(t, d)
			if len(all) != 1 || all[0].Effect != c.holds || all[0].Ends.IsZero() {
				t.Errorf("%s: %+v", c.effect, all)
			}
			if changed := before.Effect != c.holds; changed != (len(told) == 1) {
				t.Errorf("%s: told %d times", c.effect, len(told))
			} else if changed && (<-told).Ends.IsZero() {
				t.Errorf("%s: it is not told until when it works", c.effect)
			}
		}
		expect(t, d, "the exposed one", IMAP, "alice", "alice", "exposed")
		expect(t, d, "another", IMAP, "alice", phone, "alice@example.org")
	})
}

// TestAlert: the owner is told once, at the next login, in what IMAP can say.
func TestAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		a, err := d.Account(t.Context(), addr(t, "alice@example.org"))
		must(t, err)
		if text := d.Alert(t.Context(), a.ID); text != "" {
			t.Errorf("before: %q", text)
		}
		d.InClear(inClear(IMAP, "IMAP-LOGIN", "2001:db8:1234:5678::1"), "alice", []byte("alice"))
		settled()
		text := d.Alert(t.Context(), a.ID)
		if !strings.HasPrefix(text, "A password of this account was sent without encryption on 2000-01-01 from 2001:db8:1234::/48.") || len(text) > 200 {
			t.Errorf("%d octets: %q", len(text), text)
		}
		if again := d.Alert(t.Context(), a.ID); again != "" {
			t.Errorf("again: %q", again)
		}
		expect(t, d, "afterwards", IMAP, "alice", "alice", "alice@example.org")
	})
}

// TestClearFlood: a flood of wrong passwords is looked at twice a second from one network, 64 wait at most, and while
// logins want the workers none is looked at.
func TestClearFlood(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for range 1000 {
			d.InClear(inClear(IMAP, "IMAP-LOGIN", "198.51.100.9"), "alice", []byte("x"))
		}
		if waiting := len(d.sightings.waiting); waiting > sightingsRate {
			t.Errorf("%d wait", waiting)
		}
		for range d.hasher.most { // logins have every worker
			must(t, d.hasher.acquire(t.Context(), familiar))
		}
		for i := range 1000 {
			d.InClear(inClear(IMAP, "IMAP-LOGIN", fmt.Sprintf("10.%d.%d.1", i>>8, i&0xff)), "alice", []byte("alice"))
		}
		if waiting := len(d.sightings.waiting); waiting > maxSightings {
			t.Errorf("%d wait", waiting)
		}
		time.Sleep(sightingAtMost / 2)
		synctest.Wait()
		if all := exposedNow(t, d); len(all) != 0 {
			t.Errorf("looked at while logins had the workers: %+v", all)
		}
		for range d.hasher.most {
			d.hasher.release(familiar)
		}
		settled()
		if all := exposedNow(t, d); len(all) != 1 {
			t.Errorf("not looked at afterwards: %+v", all)
		}
		if s := d.Stats(); s.ClearNotChecked < 1900 || s.ClearCredentials["imap-known"] != 2000 {
			t.Errorf("counted %v, not looked at %d", s.ClearCredentials, s.ClearNotChecked)
		}
	})
}
