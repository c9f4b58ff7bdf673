package directory

import (
	"net/netip"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// The methods that the census knows beside those that we offer: what programs ask for all the same.
var otherMethods = []string{
	"OAUTHBEARER", "XOAUTH2", "DIGEST-MD5", "CRAM-SHA1", "CRAM-SHA256", "APOP", "NTLM", "GSSAPI", "GSS-SPNEGO", "KERBEROS_V4", "ANONYMOUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS",
	IMAPLogin, POP3User,
}

// otherMethod stands for a name that a program made up.
const otherMethod = "other"

// Method is the name of a mechanism for the log and the census, of which there are not many: strangers choose what they ask
// for, and some send a password in its place.
func Method(name string) string {
	name = strings.ToUpper(name)
	if slices.Contains(mechanisms, name) || slices.Contains(otherMethods, name) {
		return name
	}
	return otherMethod
}

// longestSNI is how much is kept of what a client calls itself and us, in octets.
const longestSNI = 80

// fieldsOf are the fields of an attempt.
func (d *Directory) fieldsOf(a Attempt, binding string, why reason) censusFields {
	t := &a.Peer.Transport
	return censusFields{
		Service: a.Service, Port: a.Peer.Local.Port(), Mechanism: Method(a.Mechanism), Offered: strings.Join(d.Mechanisms(a), " "),
		Initial: a.Initial, Binding: bindingWord(binding), State: t.State, Version: t.Version, Group: t.Group,
		SNI: cut(t.SNI), ALPN: cut(t.ALPN), Client: clientOf(a), Network: network(a.Peer.Remote.Addr()), Reason: string(why),
	}
}

func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), longestSNI)], "?")
}

// bindingWord is how a client stood to channel binding, in the words of the log where it was bound.
func bindingWord(flag string) string {
	switch flag {
	case "":
		return "none"
	case sasl.TLSExporter:
		return "exporter"
	case sasl.TLSServerEndPoint:
		return "endpoint"
	case "n", "y":
		return flag
	}
	return otherMethod
}

// clientOf is what is kept of a program's name for itself: the name and version in IMAP's ID. EHLO tells the name of a
// person's machine, of which no more is kept than what kind of name it is (specification, section 7: TS-7.4).
func clientOf(a Attempt) string {
	if a.Service != Submission {
		return cut(a.Program)
	}
	return ehloForm(a.Program)
}

// ehloKnown are names that programs give on every machine.
var ehloKnown = []string{"localhost", "localhost.localdomain", "smtpclient.apple", "[127.0.0.1]", "[IPv6:::1]"}

func ehloForm(name string) string {
	i := slices.IndexFunc(ehloKnown, func(k string) bool { return strings.EqualFold(k, name) })
	switch _, err := netip.ParseAddr(name); {
	case name == "":
		return ""
	case i >= 0:
		return "EHLO " + ehloKnown[i]
	case strings.HasPrefix(name, "["):
		return "EHLO [address]"
	case err == nil:
		return "EHLO address"
	case strings.Contains(name, "."):
		return "EHLO host.domain"
	}
	return "EHLO name"
}

// census notes an attempt that has ended.
func (d *Directory) noteCensus(o outcome) {
	why := reason(Reason(o.err))
	if o.err != nil && why == "" {
		return
	}
	f := d.fieldsOf(o.attempt, o.binding, why)
	if o.err == nil {
		f.Credential = o.verified.credential.id
		d.census.note(o.verified.account.id, f, d.now(), "")
		return
	}
	id, hash := d.whoseName(o.login)
	d.census.note(id, f, d.now(), hash)
}

// whoseName finds the account of a login name, or else what stands for the name.
func (d *Directory) whoseName(login string) (id mail.AccountID, hash string) {
	if login == "" {
		return 0, ""
	}
	d.view(func(s *state) {
		if a := s.principal(login).account; a != nil {
			id = a.id
		} else {
			hash = s.nameHash(login)
		}
	})
	return id, hash
}

// Introduced tells the name of a program that logged in by attempt a and gave its name only then, in a.Program.
func (d *Directory) Introduced(id mail.AccountID, a Attempt) {
	if name := clientOf(a); name != "" {
		d.census.rename(id, a.Service, Method(a.Mechanism), network(a.Peer.Remote.Addr()), name)
	}
}
