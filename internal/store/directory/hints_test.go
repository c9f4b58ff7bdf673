package directory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// TestHints: what is told to the users of programs that do not get in (specification, section 10.1).
func TestHints(t *testing.T) {
	const downgraded = "Someone between X/1 and this server may have hidden a stronger login method (SCRAM-PLUS). Login was refused. Try another network."
	fromHome := sight{IMAP, sasl.Plain, "Other/1", atHome, seenAlice, "", ""}
	wrong := sight{IMAP, sasl.Plain, "X/1", atHome, seenAlice, reasonWrong, ""}
	encrypted := " which is no longer offered. Choose *Normal password* (" + normalPassword + "). The connection is encrypted, so the password is not readable on the way."
	for _, c := range []struct {
		name string
		seen []sight
		want string // of alice
	}{
		{"nothing", nil, ""},
		{"all is well", []sight{fromHome}, ""},
		{"T-04, named", []sight{fromHome, {POP3, "APOP", "", atHome, seenAlice, reasonNotOffered, ""}}, "Your program asks for the login method APOP," + encrypted},
		{
			"T-04, of a known program",
			[]sight{fromHome, {IMAP, sasl.CramMD5, tb, atHome, seenAlice, reasonLegacyExpired, ""}},
			"Thunderbird asks for the login method CRAM-MD5, which is no longer offered. " +
				`Choose *Normal password* (Connection security: "SSL/TLS"; Authentication method: "Normal password"). The connection is encrypted, so the password is not readable on the way.`,
		},
		{"T-04, of a neighbour", []sight{fromHome, {Submission, "NTLM", "pc", atHome, "", reasonNotOffered, ""}}, "A program at 198.51.100.0/24, perhaps yours, asks for the login method NTLM," + encrypted},
		{
			"a command",
			[]sight{fromHome, {POP3, POP3User, "", atHome, seenAlice, reasonNotOffered, ""}},
			"Your program asks for the login method POP3-USER, which is no longer offered. Use a program, or a setting of it, that logs in by one of SCRAM-SHA-256, PLAIN, LOGIN.",
		},
		{"it went on", []sight{{IMAP, "NTLM", "X/1", atHome, "", reasonNotOffered, ""}, {IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}}, ""},
		{"elsewhere", []sight{fromHome, {Submission, "NTLM", "pc", atOffice, "", reasonNotOffered, ""}}, ""},
		{"what a stranger made up", []sight{fromHome, {Submission, "FOO", "pc", atHome, "", reasonNotOffered, ""}}, ""},
		{
			"in clear",
			[]sight{fromHome, {POP3, "APOP", "", atHome, seenAlice, reasonDigestInClear, ""}},
			"Your program asks for the login method APOP without encryption. Set *Connection security* to *SSL/TLS*, port 995, and choose *Normal password* (" + normalPassword + ").",
		},
		{"T-05", []sight{fromHome, wrong, wrong, wrong}, "X/1 still uses an old password (3 tries from 198.51.100.0/24). Enter the new one there. Your account is not locked."},
		{
			"T-05, of the wrong ones alone",
			[]sight{fromHome, {IMAP, sasl.Plain, "X/1", atHome, seenAlice, reasonScope, ""}, wrong, wrong, wrong},
			"X/1 still uses an old password (3 tries from 198.51.100.0/24). Enter the new one there. Your account is not locked.",
		},
		{"refused for something else before", []sight{fromHome, {IMAP, sasl.Plain, "X/1", atHome, seenAlice, reasonScope, ""}, wrong, wrong}, ""},
		{"mistyped", []sight{fromHome, wrong, wrong}, ""},
		{"somebody guesses elsewhere", []sight{{IMAP, sasl.Plain, "Other/1", atOffice, seenAlice, "", ""}, wrong, wrong, wrong}, ""},
		{"mended since", []sight{fromHome, wrong, wrong, wrong, {IMAP, sasl.Plain, "X/1", atHome, seenAlice, "", ""}}, ""},
		{"T-06", []sight{{IMAP, sasl.ScramSHA256, "X/1", atOffice, seenAlice, reasonDowngrade, "y"}}, downgraded},
		{"T-06, another channel", []sight{{IMAP, sasl.ScramSHA256Plus, "X/1", atOffice, seenAlice, reasonBinding, sasl.TLSExporter}}, downgraded},
		{"a program that contradicts itself", []sight{{IMAP, sasl.ScramSHA256Plus, "X/1", atOffice, seenAlice, reasonBinding, "n"}}, ""},
		{
			"tls-unique",
			[]sight{{IMAP, sasl.ScramSHA256Plus, "X/1", atHome, seenAlice, reasonType, ""}},
			"X/1 asks for SCRAM-SHA-256-PLUS in a way that this connection does not have (such as tls-unique). Update it or its SASL library, or choose another method (" + normalPassword + ").",
		},
		{
			"required",
			[]sight{{IMAP, sasl.Plain, "X/1", atHome, seenAlice, reasonRequired, ""}},
			"X/1 logs in by PLAIN, which this account does not accept ('candor account require'). Choose a stronger method in it.",
		},
		{
			"scope",
			[]sight{{POP3, sasl.Plain, "", atHome, seenAlice, reasonScope, ""}},
			"Your program has a password that is not for pop3. Give it an app password for that ('candor account app-password add').",
		},
		{
			"ended",
			[]sight{{POP3, sasl.Plain, "", atHome, seenAlice, reasonExpired, ""}},
			"Your program uses an app password that has ended. Make another ('candor account app-password add').",
		},
		{"another's", []sight{fromHome, {POP3, "APOP", "", atHome, seenBob, reasonNotOffered, ""}}, ""},
	} {
		withoutPasswords(t, func(t *testing.T, d *Directory) {
			see(t, d, c.seen...)
			all, err := d.Programs(t.Context(), addr(t, "Alice@example.org"))
			must(t, err)
			var got []string
			for _, p := range all {
				if p.Account != addr(t, seenAlice) {
					t.Errorf("%s: of another: %+v", c.name, p)
				}
				got = append(got, p.Hints...)
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", c.name, text, c.want)
			}
		})
	}
}

// TestPrograms: those of an account, with the last login of each, and those of all.
func TestPrograms(t *testing.T) {
	withoutPasswords(t, func(t *testing.T, d *Directory) {
		see(t, d,
			sight{IMAP, sasl.Login, tb, atHome, seenAlice, "", ""}, sight{IMAP, sasl.Plain, tb, atHome, seenAlice, "", ""}, sight{Submission, sasl.Plain, "pc", atHome, seenAlice, "", ""},
			sight{IMAP, sasl.Plain, "X/1", atOffice, seenBob, "", ""}, sight{IMAP, sasl.Plain, "", atOffice, seenBob, reasonWrong, ""},
		)
		names := func(of mail.Address) (all []string) {
			uses, err := d.Programs(t.Context(), of)
			must(t, err)
			for _, u := range uses {
				all = append(all, strings.Join([]string{string(u.Account.Local), string(u.Service), u.Client, u.Program, u.Mechanism, u.State.String()}, " "))
			}
			return all
		}
		// One program in the network names itself: what is sent from there is its, too.
		want := []string{"alice submission EHLO name Thunderbird PLAIN encrypted-unauthenticated", "alice imap Thunderbird 128.0 Thunderbird PLAIN encrypted-unauthenticated"}
		if got := names(addr(t, seenAlice)); !slices.Equal(got, want) {
			t.Errorf("of alice: %q, want %q", got, want)
		}
		want = append(want, "bob imap X/1  PLAIN encrypted-unauthenticated")
		if got := names(mail.Address{}); !slices.Equal(got, want) {
			t.Errorf("of all: %q, want %q", got, want)
		}
		_, err := d.Programs(t.Context(), addr(t, "carol@example.org"))
		wantKind(t, "of nobody", err, mail.NotFound)
		time.Sleep(31 * 24 * time.Hour)
		if got := names(mail.Address{}); len(got) != 0 {
			t.Errorf("after a month: %q", got)
		}
	})
}
