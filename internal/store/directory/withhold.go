package directory

import (
	"slices"

	"candor/internal/proto/sasl"
)

// The commands that carry a password without SASL, by the names that they have as methods.
const (
	IMAPLogin = "IMAP-LOGIN"
	POP3User  = "POP3-USER"
)

// passwordCommands are both.
var passwordCommands = []string{IMAPLogin, POP3User}

// Withholdable are the methods that Withhold takes.
func Withholdable() []string {
	return []string{sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.OAuthBearer, sasl.XOAuth2, sasl.Plain, sasl.Login, IMAPLogin, POP3User}
}

// Withhold keeps methods from being offered and taken (specification, section 3.2). Those withheld before, and not
// named, are offered again.
func (d *Directory) Withhold(methods []string) {
	methods = slices.Clone(methods)
	d.withheld.Store(&methods)
}

// Withheld reports whether a method is withheld.
func (d *Directory) Withheld(method string) bool {
	methods := d.withheld.Load()
	return methods != nil && slices.Contains(*methods, method)
}
