package directory

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
)

// Exposure is what becomes of a credential that crossed the network in clear (specification, section 2.6).
type Exposure string

// The effects, the least first.
const (
	Notify        Exposure = "notify"         // its owner is told
	RequireChange Exposure = "require-change" // it also ends after 7 days
	Disable       Exposure = "disable"        // it also ends now
)

// exposures are the effects in their order.
var exposures = []Exposure{Notify, RequireChange, Disable}

// ParseExposure checks the name of an effect. Errors: Syntax.
func ParseExposure(name string) (Exposure, error) {
	if e := Exposure(name); slices.Contains(exposures, e) {
		return e, nil
	}
	return "", mail.Errorf(mail.Syntax, "%q is no effect: use notify, require-change or disable", name)
}

// changeTime is how long an exposed credential works on over TLS where a change is required.
const changeTime = 7 * 24 * time.Hour

// exposureRecord says when, where and how a credential crossed the network in clear.
type exposureRecord struct {
	At      time.Time    `json:"at"`
	From    netip.Prefix `json:"from"`
	Service Service      `json:"service"`
	Port    uint16       `json:"port"`
	Program string       `json:"program,omitempty"`
	Effect  Exposure     `json:"effect"`
	Ends    time.Time    `json:"ends,omitzero"`  // from when on the credential is refused
	Told    bool         `json:"told,omitempty"` // its owner, within a session
}

// ended reports whether the credential is refused for its exposure.
func (e *exposureRecord) ended(now time.Time) bool {
	return e != nil && !e.Ends.IsZero() && !now.Before(e.Ends)
}

// weaker reports whether effect e is less than another.
func (e Exposure) weaker(than Exposure) bool {
	return slices.Index(exposures, e) < slices.Index(exposures, than)
}

// Exposed is a credential that crossed the network in clear and was not changed since.
type Exposed struct {
	Account    mail.Address `json:"account"`
	Credential uint64       `json:"credential"`
	Kind       string       `json:"kind"`
	Name       string       `json:"name,omitempty"` // of an app password
	At         time.Time    `json:"exposed_at"`
	From       netip.Prefix `json:"exposed_from"`
	Service    Service      `json:"exposed_service"`
	Port       uint16       `json:"lport"`
	Program    string       `json:"client,omitempty"`
	Effect     Exposure     `json:"effect"`
	Ends       time.Time    `json:"ends,omitzero"` // from when on it is refused; zero: it works on
}

func (a *account) exposed(c *credential) Exposed {
	e := c.Exposed
	return Exposed{
		Account: a.Address, Credential: uint64(c.id), Kind: string(c.Kind), Name: c.Name, At: e.At, From: e.From, Service: e.Service,
		Port: e.Port, Program: e.Program, Effect: e.Effect, Ends: e.Ends,
	}
}

// implicitPorts are those with TLS from the start.
var implicitPorts = map[Service]uint16{Submission: 465, IMAP: 993, POP3: 995}

// Words tell the owner of the credential what has happened and what to do: T-01 of the specification. from is where
// it came from as far as that is known, change how the password is changed.
func (e *Exposed) Words(from, change string) string {
	what := "The password"
	if e.Name != "" {
		what = fmt.Sprintf("The app password %q", e.Name)
	}
	text := fmt.Sprintf("%s for %s was sent without encryption from %s on %s by %s. Others on the way may have read it. %s "+
		"Then set *Connection security* to *SSL/TLS*, port %d.",
		what, e.Account, from, e.At.UTC().Format("2006-01-02 15:04 UTC"), cmp.Or(spoken(e.Program), "a program"), change, implicitPorts[e.Service])
	switch {
	case e.Effect == Disable:
		text += " It is not accepted any more."
	case !e.Ends.IsZero():
		text += fmt.Sprintf(" It is accepted until %s.", e.Ends.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return text
}

// ExposedCredentials returns the credentials that were exposed and not changed since, the last one first.
func (d *Directory) ExposedCredentials(context.Context) (all []Exposed, err error) {
	d.view(func(s *state) {
		for _, a := range s.accounts {
			for i := range a.credentials {
				if c := &a.credentials[i]; c.Exposed != nil {
					all = append(all, a.exposed(c))
				}
			}
		}
	})
	slices.SortFunc(all, func(a, b Exposed) int {
		return cmp.Or(b.At.Compare(a.At), byDomain(a.Account, b.Account), cmp.Compare(a.Credential, b.Credential))
	})
	return all, nil
}

// ExposureAlarms are the alarms of credentials that were exposed and not changed since.
func (d *Directory) ExposureAlarms() (all []mail.Alarm) {
	exposed, _ := d.ExposedCredentials(context.Background()) // from memory
	for _, e := range exposed {
		a := mail.Alarm{ID: "A-134", Subject: fmt.Sprintf("%s/%d", e.Account, e.Credential), Stage: string(e.Effect)}
		a.Text = e.Words(e.From.String(), e.change())
		all = append(all, a)
	}
	return all
}

// change says how the operator mends it.
func (e *Exposed) change() string {
	if e.Name != "" {
		return fmt.Sprintf("Revoke it ('candor account app-password revoke %s %q') and make another.", e.Account, e.Name)
	}
	return fmt.Sprintf("Change it ('candor account password %s').", e.Account)
}

// Alert returns what the owner of an account is to be told at the next encrypted login, once for each exposure; "":
// nothing. It is ASCII, of at most 200 octets.
func (d *Directory) Alert(ctx context.Context, id mail.AccountID) string {
	var a *account
	d.view(func(s *state) { a = s.accounts[id] })
	untold := func(c credential) bool { return c.Exposed != nil && !c.Exposed.Told }
	if a == nil || !slices.ContainsFunc(a.credentials, untold) {
		return ""
	}
	var text string
	err := d.edit(ctx, a.Address, func(now *account) (*account, error) {
		text = ""
		for _, c := range now.credentials {
			if now.id != id || !untold(c) {
				continue
			}
			e := *c.Exposed
			text = fmt.Sprintf("A password of this account was sent without encryption on %s from %s. Others may have read it. Change it, and set Connection security to SSL/TLS, port %d",
				e.At.UTC().Format(time.DateOnly), e.From, implicitPorts[e.Service])
			e.Told = true
			c.Exposed = &e
			now = now.with(c)
		}
		return now, nil
	})
	if err != nil {
		d.log.Warn("could not note that an exposure was told", "user", a.Address.String(), "err", err)
		return ""
	}
	return text
}
