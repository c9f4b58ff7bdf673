package directory

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// sight is an attempt that the census has seen. why is empty of a login; login is empty where nobody was named.
type sight struct {
	service   Service
	mechanism string
	program   string
	from      string
	login     string
	why       reason
	binding   string
}

// see puts attempts into the census, each a minute after the one before.
func see(t testing.TB, d *Directory, all ...sight) {
	t.Helper()
	for _, s := range all {
		o := outcome{attempt: seenAt(s.service, s.mechanism, s.program, s.from), login: s.login, binding: s.binding}
		if s.why != "" {
			kind := mail.AuthFailed
			if s.why == reasonNotOffered || s.why == reasonLegacyExpired {
				kind = mail.Unsupported
			}
			o.err = mail.Wrap(kind, &refusal{reason: s.why}, "refused")
		} else {
			a := d.state.addresses[addr(t, s.login)]
			o.verified = verified{a, &credential{}}
		}
		d.noteCensus(o)
		time.Sleep(time.Minute)
	}
}

// withoutPasswords runs f within a bubble of time, with accounts that have nothing to hash.
func withoutPasswords(t *testing.T, f func(t *testing.T, d *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, newMemDB(), Options{Cost: cheap})
		must(t, d.AddDomain(t.Context(), "example.org"))
		for _, a := range []string{seenAlice, seenBob} {
			must(t, second(d.AddAccount(t.Context(), addr(t, a), "")))
		}
		f(t, d)
	})
}

const (
	seenAlice, seenBob = "alice@example.org", "bob@example.org"
	atHome, atOffice   = "198.51.100.9", "203.0.113.5"
	tb                 = "Thunderbird 128.0"
)

// TestRemoval: into which of the three lists a program comes whose method is to be removed (specification, section 3.6).
func TestRemoval(t *testing.T) {
	for _, c := range []struct {
		name, remove string
		withheld     []string // when it is asked
		seen         []sight
		want         []string // "list account program: what works instead, or the setting"
	}{
		{name: "nothing was seen", remove: "DIGEST-MD5"},
		{name: "others use other methods", remove: sasl.Login, seen: []sight{{IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}}},
		{
			name: "it also logged in otherwise", remove: sasl.Plain,
			seen: []sight{{IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}, {IMAP, sasl.ScramSHA256, "X/1", atHome, seenAlice, "", ""}},
			want: []string{"keeps alice X/1: SCRAM-SHA-256"},
		},
		{
			name: "otherwise by what is not offered any more", remove: sasl.Plain, withheld: []string{sasl.ScramSHA256, sasl.ScramSHA256Plus},
			seen: []sight{{IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}, {IMAP, sasl.ScramSHA256, "X/1", atHome, seenAlice, "", ""}},
			want: []string{"unknown alice X/1: candor auth census trial --remove PLAIN --account alice@example.org --hours 24"},
		},
		{
			name: "another program, or service, or person does", remove: sasl.Plain,
			seen: []sight{
				{IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""},
				{IMAP, sasl.Login, "X/2", atHome, seenAlice, "", ""},
				{POP3, sasl.Login, "X/1", atHome, seenAlice, "", ""},
				{IMAP, sasl.Login, "X/1", atHome, seenBob, "", ""},
			},
			want: []string{"unknown alice X/1: candor auth census trial --remove PLAIN --account alice@example.org --hours 24"},
		},
		{
			name: "a known program steps down", remove: sasl.Plain, seen: []sight{{IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}},
			want: []string{"keeps alice Thunderbird: LOGIN"},
		},
		{
			name: "a known program has nothing to step down to", remove: sasl.Plain, withheld: []string{sasl.Login, IMAPLogin},
			seen: []sight{{IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}},
			want: []string{"setting alice Thunderbird: Use a program, or a setting of it, that logs in by one of SCRAM-SHA-256"},
		},
		{
			name: "Outlook is known by its ways", remove: sasl.Login, seen: []sight{{Submission, sasl.Login, "DESKTOP-7", atOffice, seenBob, "", ""}},
			want: []string{"setting bob Outlook (Windows classic): Use a program, or a setting of it, that logs in by one of SCRAM-SHA-256, PLAIN"},
		},
		{
			name: "Outlook with SPA", remove: "NTLM", seen: []sight{{IMAP, "NTLM", "Outlook 16", atOffice, seenBob, reasonNotOffered, ""}},
			want: []string{`setting bob Outlook (Windows classic): "Require logon using Secure Password Authentication (SPA)" off; incoming 993 SSL/TLS, outgoing 465 SSL/TLS (or 587 STARTTLS)`},
		},
		{
			name: "a command", remove: "imap-login", seen: []sight{{IMAP, IMAPLogin, "X/1", atHome, seenAlice, "", ""}},
			want: []string{"unknown alice X/1: candor auth census trial --remove IMAP-LOGIN --account alice@example.org --hours 24"},
		},
		{
			name: "refused already, and named", remove: "APOP", seen: []sight{{POP3, "APOP", "", atHome, seenAlice, reasonDigestInClear, ""}},
			want: []string{"setting alice : " + normalPassword},
		},
		{
			name: "refused already, of nobody", remove: "digest-md5",
			seen: []sight{{IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}, {IMAP, "DIGEST-MD5", tb, atHome, "", reasonNotOffered, ""}, {IMAP, "DIGEST-MD5", "Y", atOffice, "", reasonNotOffered, ""}},
			want: []string{
				"setting near [] Y: " + normalPassword,
				`setting near [alice@example.org] Thunderbird: Connection security: "SSL/TLS"; Authentication method: "Normal password"`,
			},
		},
		{
			name: "refused, then the same program went on", remove: "DIGEST-MD5",
			seen: []sight{{IMAP, "DIGEST-MD5", tb, atHome, "", reasonNotOffered, ""}, {IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}},
			want: []string{"keeps near [alice@example.org] Thunderbird: PLAIN"},
		},
		{
			name: "refused, then a neighbour's program logged in", remove: "DIGEST-MD5",
			seen: []sight{{IMAP, "DIGEST-MD5", tb, atHome, "", reasonNotOffered, ""}, {IMAP, sasl.Plain, "X/1", atHome, seenBob, "", ""}},
			want: []string{`setting near [bob@example.org] Thunderbird: Connection security: "SSL/TLS"; Authentication method: "Normal password"`},
		},
		{name: "wrong passwords are no use of a method", remove: sasl.Login, seen: []sight{{IMAP, sasl.Login, "", atHome, seenAlice, reasonWrong, ""}}},
	} {
		withoutPasswords(t, func(t *testing.T, d *Directory) {
			see(t, d, c.seen...)
			d.Withhold(c.withheld)
			r, err := d.CensusReport(t.Context(), 30, c.remove)
			must(t, err)
			var got []string
			for _, list := range []struct {
				name string
				of   []Affected
			}{{"keeps", r.KeepsWorking}, {"setting", r.NeedsSetting}, {"unknown", r.Unknown}} {
				if list.of == nil {
					t.Errorf("%s: the list %s is null in JSON", c.name, list.name)
				}
				for _, a := range list.of {
					who := string(a.Account.Local)
					if a.Account == (mail.Address{}) {
						who = fmt.Sprintf("near %s", a.Nearby)
					}
					name := a.Program
					if name == "" {
						name = a.Client
					}
					got = append(got, fmt.Sprintf("%s %s %s: %s%s%s", list.name, who, name, a.Instead, a.Setting, a.Test))
					if a.Because == "" || a.Last.IsZero() {
						t.Errorf("%s: %+v", c.name, a)
					}
				}
			}
			if g, w := strings.Join(got, "\n"), strings.Join(c.want, "\n"); g != w {
				t.Errorf("%s: without %s:\n%s\nwant\n%s", c.name, c.remove, g, w)
			}
			if want := strings.ToUpper(c.remove); r.Remove != want {
				t.Errorf("%s: asked about %q", c.name, r.Remove)
			}
		})
	}
}

// TestCensusReport: who logs in by what.
func TestCensusReport(t *testing.T) {
	withoutPasswords(t, func(t *testing.T, d *Directory) {
		see(t, d,
			sight{IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}, sight{IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}, sight{IMAP, sasl.Login, "X/1", atHome, seenAlice, "", ""},
			sight{POP3, sasl.Plain, "", atOffice, seenBob, "", ""}, sight{POP3, sasl.ScramSHA256, "", atOffice, seenBob, reasonWrong, ""},
			sight{IMAP, "NTLM", "", atOffice, "", reasonNotOffered, ""}, sight{IMAP, "NTLM", "", atOffice, "", reasonNotOffered, ""},
		)
		r, err := d.CensusReport(t.Context(), 30, "")
		must(t, err)
		got := map[string]string{}
		for _, m := range r.Mechanisms {
			got[m.Mechanism] = fmt.Sprintf("%d accounts, %d only this, %d yes %d no %d never, %d at rest, %d refused, %d unidentified, %s", m.Accounts, m.OnlyThis,
				m.Replacement.Yes, m.Replacement.No, m.Replacement.Never, m.AtRest, m.Refused, m.Unidentified, strings.Join(m.Programs, ";"))
		}
		for mechanism, want := range map[string]string{
			sasl.Plain:       "2 accounts, 1 only this, 1 yes 1 no 1 never, 0 at rest, 0 refused, 0 unidentified, Thunderbird;X/1;unknown",
			sasl.Login:       "1 accounts, 0 only this, 1 yes 0 no 0 never, 0 at rest, 0 refused, 0 unidentified, X/1",
			sasl.ScramSHA256: "0 accounts, 0 only this, 0 yes 0 no 0 never, 0 at rest, 1 refused, 0 unidentified, ",
			"NTLM":           "0 accounts, 0 only this, 0 yes 0 no 0 never, 0 at rest, 2 refused, 2 unidentified, ",
		} {
			if got[mechanism] != want {
				t.Errorf("%s: %s\nwant %s", mechanism, got[mechanism], want)
			}
		}
		if len(r.Mechanisms) != 4 || r.Mechanisms[0].Mechanism != sasl.Plain || r.Days != 30 || r.Remove != "" {
			t.Errorf("%+v", r)
		}
		for _, days := range []int{0, -1, 91} {
			_, err := d.CensusReport(t.Context(), days, "")
			wantKind(t, fmt.Sprint(days, " days"), err, mail.Syntax)
		}
		_, err = d.CensusReport(t.Context(), 30, "MADE-UP")
		wantKind(t, "what is no mechanism", err, mail.Syntax)
	})
}

// TestTrialsSeen: what came of a trial.
func TestTrialsSeen(t *testing.T) {
	withoutPasswords(t, func(t *testing.T, d *Directory) {
		before := []sight{
			{IMAP, sasl.Login, "Steps/1", atHome, seenAlice, "", ""},
			{IMAP, sasl.Login, "Stays/1", atHome, seenAlice, "", ""},
			{IMAP, sasl.Login, "Away/1", atHome, seenAlice, "", ""},
			{IMAP, sasl.Plain, "Never/1", atHome, seenAlice, "", ""},
			{IMAP, sasl.Login, "Steps/1", atHome, seenBob, "", ""},
		}
		see(t, d, before...)
		must(t, second(d.StartTrial(t.Context(), addr(t, seenAlice), sasl.Login, time.Hour)))
		see(t, d, sight{IMAP, sasl.Plain, "Steps/1", atHome, seenAlice, "", ""}, sight{IMAP, sasl.Login, "Stays/1", atHome, seenAlice, reasonNotOffered, ""})
		look := func() (got []string) {
			all, err := d.TrialsSeen(t.Context())
			must(t, err)
			for _, s := range all {
				for _, p := range s.Programs {
					got = append(got, fmt.Sprintf("%s %s %t: %s %s %s", s.Account.Local, s.Mechanism, s.Running, p.Client, p.Outcome, p.Instead))
				}
			}
			return got
		}
		want := "alice LOGIN true: Stays/1 fails \nalice LOGIN true: Steps/1 works PLAIN\nalice LOGIN true: Away/1 not-seen "
		if got := strings.Join(look(), "\n"); got != want {
			t.Errorf("during the trial:\n%s\nwant\n%s", got, want)
		}
		must(t, d.EndTrial(t.Context(), addr(t, seenAlice), sasl.Login))
		if got := look(); len(got) != 3 || !strings.Contains(got[0], "false") {
			t.Errorf("after it: %q", got)
		}
		must(t, second(d.RemoveAccount(t.Context(), addr(t, seenAlice), nil)))
		if got := look(); len(got) != 0 {
			t.Errorf("without the account: %q", got)
		}
	})
}

// TestAtRest: how many credentials could be used by a method.
func TestAtRest(t *testing.T) {
	d := withPasswords(t)
	appPasswordOf(t, d, seenBob, NewAppPassword{Name: "panel", Legacy: sasl.CramMD5})
	must(t, withoutScram(t.Context(), d, addr(t, seenAlice)))
	for mechanism, want := range map[string]int{
		sasl.Plain: 7, IMAPLogin: 7, sasl.ScramSHA256: 6, sasl.ScramSHA256Plus: 6, sasl.CramMD5: 1, sasl.ScramSHA1: 0, "DIGEST-MD5": 0,
	} {
		if got := d.atRest(mechanism); got != want {
			t.Errorf("%s: %d, want %d", mechanism, got, want)
		}
	}
}
