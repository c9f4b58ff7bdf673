package listen

import (
	"crypto/x509"
	"fmt"
	"time"

	"candor/internal/mail"
)

// expirySoon is when a certificate should have been renewed.
const expirySoon = 14 * 24 * time.Hour

// Alarms are those about certificates that are not valid, or not much longer.
func (c *Certificates) Alarms(now time.Time) []mail.Alarm {
	set := c.current.Load()
	var all []mail.Alarm
	for i, cert := range set.list {
		a := mail.Alarm{Subject: subject(cert.Leaf)}
		switch text := validity(cert.Leaf, now); {
		case text != "":
			a.ID, a.Text = "A-120", fmt.Sprintf("The certificate for %s %s. Programs and servers that check it go away. Renew it, then run candor reload.", a.Subject, text)
		case i == 0 && cert.Leaf.VerifyHostname(string(set.hostname)) != nil:
			a.ID, a.Text = "A-120", fmt.Sprintf("The first certificate is for %s, not for %s. Programs and servers that check it go away. Have one issued for it, then run candor reload.", a.Subject, set.hostname)
		case now.Add(expirySoon).After(cert.Leaf.NotAfter):
			a.ID, a.Text = "A-121", fmt.Sprintf("The certificate for %s expires on %s. Renew it, then run candor reload.", a.Subject, cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
		default:
			continue
		}
		all = append(all, a)
	}
	for _, name := range set.uncovered() {
		all = append(all, mail.Alarm{
			ID: "A-120", Subject: string(name),
			Text: fmt.Sprintf("No certificate is for %s, the name of a listener. Programs that check it go away. Have one issued for it, then run candor reload.", name),
		})
	}
	return all
}

// subject is a certificate's first name.
func subject(x *x509.Certificate) string {
	switch {
	case len(x.DNSNames) > 0:
		return printable(x.DNSNames[0])
	case len(x.IPAddresses) > 0:
		return x.IPAddresses[0].String()
	}
	return printable(x.Subject.String())
}
