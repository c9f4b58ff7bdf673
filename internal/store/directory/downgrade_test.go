package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"candor/internal/proto/sasl"
)

// TestDowngradeAlarm: a login of an account that somebody between may have weakened alarms the operator for a week.
func TestDowngradeAlarm(t *testing.T) {
	here, between := connectTLS(t, newCertificate(t)), connectTLS(t, newCertificate(t))
	inBubble(t, func(t *testing.T, d *Directory) {
		flagged := func(mechanism, flag, login string) {
			t.Helper()
			x, err := d.StartSASL(t.Context(), overTLS(t), here.attempt(IMAP, mechanism))
			must(t, err)
			if told, _, err := x.Next(t.Context(), fmt.Appendf(nil, "%s,,n=%s,r=abc", flag, login)); err != nil || !strings.HasPrefix(string(told), "e=") {
				t.Fatalf("%q, %v", told, err)
			}
		}
		raised := func(step, want string) {
			t.Helper()
			all := d.DowngradeAlarms()
			if len(all) == 0 && want == "" {
				return
			}
			if len(all) != 1 || want == "" || !strings.Contains(all[0].Text, want) || all[0].ID != "scram-downgrade-suspected" {
				t.Errorf("%s: %+v, want %q", step, all, want)
			}
		}
		raised("at first", "")
		flagged(sasl.ScramSHA256, "y", "nobody@example.org")
		flagged(sasl.ScramSHA256Plus, "n", "alice")
		flagged(sasl.ScramSHA256, "p=tls-exporter", "alice")
		raised("after broken programs, and strangers", "")
		flagged(sasl.ScramSHA256, "y", "alice")
		raised("PLUS is hidden", "Logins refused for it: 1; the last was of alice@example.org, from 198.51.100.0/24 on 2000-01-01.")
		time.Sleep(6 * 24 * time.Hour)
		if _, got := over(t, d, sasl.ScramSHA256Plus, here, sasl.NewScramClient(sasl.ScramSHA256Plus, between.channel(), "bob", []byte("bob"))); got != "cb-mismatch" {
			t.Errorf("another channel: %s", got)
		}
		raised("another channel", "Logins refused for it: 2; the last was of bob@example.org, from 198.51.100.0/24 on 2000-01-07.")
		time.Sleep(7 * 24 * time.Hour)
		raised("a week later", "")
	})
}
