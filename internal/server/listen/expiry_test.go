package listen

import (
	"strings"
	"testing"
	"time"
)

// TestCertificateAlarms: A-120 for a certificate that is not valid or not for our name, A-121 from 14 days before its end.
func TestCertificateAlarms(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		name     string
		from, to time.Duration
		id, text string
	}{
		"valid":       {string(testHost), -day, 15 * day, "", ""},
		"ends soon":   {string(testHost), -day, 13 * day, "A-121", "The certificate for mx.example.org expires on " + now.Add(13*day).UTC().Format(time.DateOnly)},
		"expired":     {string(testHost), -3 * day, -day, "A-120", "The certificate for mx.example.org expired on "},
		"not yet":     {string(testHost), day, 30 * day, "A-120", "The certificate for mx.example.org is not valid before "},
		"another one": {"other.example.org", -day, 30 * day, "A-120", "The first certificate is for other.example.org, not for mx.example.org."},
	} {
		t.Run(name, func(t *testing.T) {
			x := template(c.name)
			x.NotBefore, x.NotAfter = now.Add(c.from), now.Add(c.to)
			got := certificates(t, writePair(t, x, ecdsaKey(t))).Alarms(now)
			if c.id == "" {
				if len(got) > 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].ID != c.id || got[0].Subject != c.name || !strings.HasPrefix(got[0].Text, c.text) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
