package directory

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"candor/internal/mail"
)

// downgradeMemory is how long it is told of logins that somebody between may have weakened.
const downgradeMemory = 7 * 24 * time.Hour

// downgrades are the logins of accounts, since the last week without any, that were refused because the program could
// bind them to the channel but did not see that we can (specification, section 3.4), or bound them to another one. Who
// knows an address can make them: they alarm the operator and nobody else.
type downgrades struct {
	mu      sync.Mutex
	times   int
	last    time.Time
	account mail.Address
	from    netip.Prefix
}

// note takes a refused login of an account.
func (d *downgrades) note(account mail.Address, from netip.Prefix, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.last) >= downgradeMemory {
		d.times = 0
	}
	d.times++
	d.last, d.account, d.from = now, account, from
}

// suspects reports whether a refusal hints at somebody between. A program whose mechanism and flag do not agree is
// broken, and no more.
func suspects(why reason, mechanism, binding string) bool {
	agree := strings.HasSuffix(mechanism, "-PLUS") && binding != "n" && binding != "y"
	return why == reasonDowngrade || why == reasonBinding && agree
}

// noteDowngrade takes a refused login, if it is one of those.
func (d *Directory) noteDowngrade(o outcome, from netip.Addr) {
	if !suspects(reason(Reason(o.err)), o.attempt.Mechanism, o.binding) {
		return
	}
	var p principal
	d.view(func(s *state) { p = s.principal(o.login) })
	if p.account != nil {
		d.downgrades.note(p.account.Address, network(from), d.now())
	}
}

// DowngradeAlarms tells of them, while there were some of late.
func (d *Directory) DowngradeAlarms() []mail.Alarm {
	g := &d.downgrades
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.times == 0 || d.now().Sub(g.last) >= downgradeMemory {
		return nil
	}
	day := g.last.UTC().Format(time.DateOnly)
	return []mail.Alarm{{ID: string(reasonDowngrade), Subject: "SCRAM-PLUS", Stage: day, Text: fmt.Sprintf(
		"Somebody between programs and this server may hide that it can bind logins to the connection (SCRAM-PLUS), or answer in its place. "+
			"Logins refused for it: %d; the last was of %s, from %s on %s. Ask its owner to log in from another network. See 'candor clients --account %s'.",
		g.times, g.account, g.from, day, g.account)}}
}
