package mail

import "strings"

// floorWords are what a floor asks for, in words for people.
var floorWords = [...]string{
	Unknown: "anything", Clear: "clear text", EncryptedObsolete: "encryption with an outdated method", EncryptedUnauthenticated: "encryption",
	EncryptedNameUnbound: "encryption to a server whose certificate fits",
	AuthenticatedSTS:     "encryption to a server that is checked against the published policy (MTA-STS)",
	AuthenticatedPKIX:    "encryption with a certificate that is checked",
	AuthenticatedDANETA:  "encryption with a certificate authority that is checked against signed DNS (DANE)",
	AuthenticatedDANEEE:  "encryption with a key that is checked against signed DNS (DANE)",
	AuthenticatedBound:   "encryption and a login bound to it",
	AuthenticatedPinned:  "encryption with the key that the administrator noted",
	LocalState:           "this machine alone",
}

// sourceWords are the sources of a floor by what stands before the colon.
var sourceWords = map[string]string{
	"public-mx": "the rule that a public mail server takes what comes", "listener": "the listener's setting", "admin": "the administrator's rule",
	"dane": "the DANE records of", "sts": "the MTA-STS policy", "requiretls": "the sender (REQUIRETLS)", "user": "the user",
	"history": "what was reached before", "insecure": "the exception",
}

// Words says in words what protected the hop, and what would have been accepted at least (specification, section
// 10.2). mx and domain are whom it led to; they may be empty for a hop that led to us.
func (t *Transport) Words(mx string, domain Domain) string {
	name := func(s string) string {
		if s == "" {
			return "the other server"
		}
		return s
	}
	words := strings.NewReplacer("{mx}", name(mx), "{domain}", name(string(domain)), "{name}", name(t.Name)).Replace(t.State.Row().Words)
	if t.Scope != "" {
		words += " Both ends are in networks of ours."
	}
	if t.State == LocalState {
		return words
	}
	floor := floorWords[0]
	if int(t.Floor) < len(floorWords) {
		floor = floorWords[t.Floor]
	}
	words += " Least accepted: " + floor
	if kind, of, _ := strings.Cut(t.FloorSource, ":"); kind != "" {
		by := kind
		if w := sourceWords[kind]; w != "" {
			by = w
		}
		words += ", demanded by " + strings.TrimSpace(by+" "+of)
	}
	return words + "."
}
