package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/kv"
)

// retirable are the mechanisms that may end for want of use. PLAIN stays for those that know nothing else; the others
// are offered to single accounts alone.
var retirable = []string{sasl.ScramSHA256Plus, sasl.ScramSHA256, sasl.Login}

// retireNotice is how long the notice is before a mechanism ends.
const retireNotice = 7 * 24 * time.Hour

// mechanismRecord is what is known of the use of a mechanism, written lazily and outside the clock. The use is known
// to the hour.
type mechanismRecord struct {
	Used    time.Time `json:"used,omitzero"`
	Watched time.Time `json:"watched,omitzero"` // since when its use is looked for
	Noticed time.Time `json:"noticed,omitzero"` // when it was told that it will end
	Retired time.Time `json:"retired,omitzero"` // since when it is not offered
}

// used notes a login. mu is held.
func (c *census) used(mechanism string, now time.Time) {
	hour := now.UTC().Truncate(useGrain)
	r := c.method(mechanism)
	if !r.Used.Equal(hour) {
		r.Used, r.Noticed = hour, time.Time{}
		c.touched[mechanism] = true
	}
}

// method finds the record of a mechanism. mu is held.
func (c *census) method(mechanism string) *mechanismRecord {
	if c.methods[mechanism] == nil {
		c.methods[mechanism] = &mechanismRecord{}
	}
	return c.methods[mechanism]
}

// retire decides which mechanisms nobody uses.
func (d *Directory) retire() {
	c, after, now := d.census, d.policy().AutoRetire, d.now()
	usable := d.usable()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range retirable {
		r := c.method(m)
		before := *r
		r.judge(after, now, usable[m])
		if *r == before {
			continue
		}
		c.touched[m] = true
		switch {
		case !r.Retired.IsZero():
			d.log.Warn("mechanism retired", "method", m, "unused", after)
		case !r.Noticed.IsZero():
			d.log.Warn("mechanism will be retired", "method", m, "unused", after)
		}
	}
	c.publish()
}

// usable are the mechanisms that somebody could use now, but for their retirement, and that no account requires.
func (d *Directory) usable() map[string]bool {
	usable := map[string]bool{}
	d.view(func(s *state) {
		for _, m := range retirable {
			if strings.HasPrefix(m, "SCRAM-") && s.requiresScram() {
				continue
			}
			for _, service := range []Service{Submission, IMAP, POP3} {
				// Whether a -PLUS is offered is said by its other half, where there is no connection to bind to.
				offered := d.offers(s, strings.TrimSuffix(m, "-PLUS"), Attempt{Service: service})
				usable[m] = usable[m] || offered && !d.Withheld(m)
			}
		}
	})
	return usable
}

// requiresScram reports whether an account could not log in without SCRAM.
func (s *state) requiresScram() bool {
	for _, a := range s.accounts {
		if !a.Disabled && (a.Require == RequireScram || a.Require == RequireScramPlus) {
			return true
		}
	}
	return false
}

// judge brings the record of a mechanism up to date. With after 0 nothing ends; what nobody could use, as SCRAM while an
// account lacks keys, is not unused; nor is what an account requires.
func (r *mechanismRecord) judge(after time.Duration, now time.Time, usable bool) {
	switch {
	case after == 0:
		r.Watched, r.Noticed, r.Retired = time.Time{}, time.Time{}, time.Time{}
	case r.Watched.IsZero(), !usable && r.Retired.IsZero():
		r.Watched, r.Noticed = now.UTC(), time.Time{}
	case !r.Retired.IsZero():
	case now.Sub(r.unusedSince()) < after:
		r.Noticed = time.Time{}
	case r.Noticed.IsZero():
		r.Noticed = now.UTC()
	case now.Sub(r.Noticed) >= retireNotice:
		r.Retired = now.UTC()
	}
}

func (r *mechanismRecord) unusedSince() time.Time {
	if r.Used.After(r.Watched) {
		return r.Used
	}
	return r.Watched
}

// publish tells those who ask what to offer. mu is held.
func (c *census) publish() {
	retired := map[string]bool{}
	for m, r := range c.methods {
		if !r.Retired.IsZero() {
			retired[m] = true
		}
	}
	c.retired.Store(&retired)
}

// retirement returns what is known of a mechanism that has ended, or nil.
func (c *census) retirement(mechanism string) *mechanismRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.methods[mechanism]
	if r == nil || r.Retired.IsZero() {
		return nil
	}
	found := *r
	return &found
}

// isRetired reports whether a mechanism has ended.
func (c *census) isRetired(mechanism string) bool { return (*c.retired.Load())[mechanism] }

// Retirements are the alarms of mechanisms that will end for want of use, and of those that have.
func (d *Directory) Retirements() (all []mail.Alarm) {
	c := d.census
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range slices.Sorted(maps.Keys(c.methods)) {
		r := c.methods[m]
		a := mail.Alarm{ID: "auto-retire", Subject: m}
		switch {
		case !r.Retired.IsZero():
			a.Stage = "retired"
			a.Text = fmt.Sprintf("%s is not offered any more, for nobody has used it since %s. To offer it again, remove auto_retire from [auth].",
				m, r.unusedSince().Format(time.DateOnly))
		case !r.Noticed.IsZero():
			a.Stage = "noticed"
			a.Text = fmt.Sprintf("Nobody has used %s since %s. From %s on it will not be offered. To keep it, remove auto_retire from [auth].",
				m, r.unusedSince().Format(time.DateOnly), r.Noticed.Add(retireNotice).Format(time.DateOnly))
		default:
			continue
		}
		all = append(all, a)
	}
	return all
}

// writeMechanisms writes the records that have changed.
func (d *Directory) writeMechanisms(ctx context.Context) error {
	c := d.census
	c.mu.Lock()
	records := map[string]mechanismRecord{}
	for m := range c.touched {
		records[m] = *c.methods[m]
	}
	clear(c.touched)
	c.mu.Unlock()
	if len(records) == 0 {
		return nil
	}
	return d.db.Update(ctx, func(tx kv.Tx) error {
		for m, r := range records {
			if err := setRecord(tx, mechanismKey(m), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func mechanismKey(name string) []byte { return append(bytes.Clone(keyMechanisms), name...) }

// loadMechanisms reads what is known of mechanisms.
func (d *Directory) loadMechanisms(ctx context.Context) error {
	read := map[string]*mechanismRecord{}
	err := d.db.View(ctx, func(r kv.Reader) error {
		clear(read)
		for p, err := range r.Scan(keyMechanisms, kv.PrefixEnd(keyMechanisms)) {
			if err != nil {
				return err
			}
			var m mechanismRecord
			if json.Unmarshal(p.Value, &m) == nil { // else verify tells of it
				read[string(p.Key[len(keyMechanisms):])] = &m
			}
		}
		return nil
	})
	c := d.census
	c.mu.Lock()
	defer c.mu.Unlock()
	c.methods = read
	c.publish()
	return err
}
