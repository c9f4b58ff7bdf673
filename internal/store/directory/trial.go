package directory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// maxTrial is how long a mechanism may be hidden for a trial.
const maxTrial = 7 * 24 * time.Hour

// trialMemory is how long a trial that has ended is remembered, and how far back the networks of an account are looked for.
const trialMemory = 30 * 24 * time.Hour

// trialKey names a trial: an account does without a mechanism.
type trialKey struct {
	account   mail.AccountID
	mechanism string
}

// trialRecord says from whom the mechanism is hidden meanwhile.
type trialRecord struct {
	Networks []netip.Prefix `json:"networks"`
	From     time.Time      `json:"from"`
	Until    time.Time      `json:"until"`
}

// Trial hides a mechanism from the networks from which an account has logged in, to see what it does without.
type Trial struct {
	Account   mail.Address   `json:"account"`
	Mechanism string         `json:"remove"`
	Networks  []netip.Prefix `json:"networks"`
	From      time.Time      `json:"from"`
	Until     time.Time      `json:"until"`
}

func trialPrefix(id mail.AccountID) []byte { return append([]byte("dt"), number(id)...) }

func (k trialKey) record() []byte { return append(trialPrefix(k.account), k.mechanism...) }

func (s *state) readTrial(name, value []byte) error {
	if len(name) <= 8 {
		return errDamaged
	}
	k := trialKey{mail.AccountID(binary.BigEndian.Uint64(name)), string(name[8:])}
	var r trialRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	s.trials[k] = r
	return nil
}

// runs reports whether a trial is under way.
func (t *trialRecord) runs(now time.Time) bool { return !now.Before(t.From) && now.Before(t.Until) }

// trialOf returns a trial that hides a method from who makes an attempt, or nil.
func (s *state) trialOf(method string, a Attempt, now time.Time) *trialRecord {
	for k, t := range s.trials {
		if k.mechanism == method && t.runs(now) && slices.Contains(t.Networks, network(a.Peer.Remote.Addr())) {
			return &t
		}
	}
	return nil
}

// StartTrial hides a mechanism, IMAPLogin or POP3User for some time from all networks from which the account has logged in within 30 days.
// Other accounts see it neither from there.
//
// Errors: NotFound (the account, or no network is known), Syntax.
func (d *Directory) StartTrial(ctx context.Context, a mail.Address, mechanism string, lasting time.Duration) (Trial, error) {
	mechanism = Method(mechanism)
	if !slices.Contains(mechanisms, mechanism) && !slices.Contains(passwordCommands, mechanism) {
		return Trial{}, mail.Errorf(mail.Syntax, "only what is offered can be hidden: see 'candor auth mechanisms'")
	}
	if lasting <= 0 || lasting > maxTrial {
		return Trial{}, mail.Errorf(mail.Syntax, "a trial lasts from 1 to %d hours", maxTrial/time.Hour)
	}
	now := d.now().UTC()
	networks, err := d.networksOf(ctx, a, now.Add(-trialMemory))
	if err != nil {
		return Trial{}, err
	}
	if len(networks) == 0 {
		return Trial{}, mail.Errorf(mail.NotFound, "%s has not logged in within 30 days: there is no network to hide %s from", canonical(a), mechanism)
	}
	t := trialRecord{networks, now, now.Add(lasting)}
	err = d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		owner := s.addresses[canonical(a)]
		if owner == nil {
			return nil, noAccount(a)
		}
		k := trialKey{owner.id, mechanism}
		forgotten := s.oldTrials(now)
		for _, old := range forgotten {
			tx.Delete(old.record())
		}
		return func(s *state) {
			for _, old := range forgotten {
				delete(s.trials, old)
			}
			s.trials[k] = t
		}, setRecord(tx, k.record(), t)
	})
	return Trial{canonical(a), mechanism, t.Networks, t.From, t.Until}, err
}

// EndTrial ends a trial now. Errors: NotFound.
func (d *Directory) EndTrial(ctx context.Context, a mail.Address, mechanism string) error {
	now := d.now().UTC()
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		owner := s.addresses[canonical(a)]
		if owner == nil {
			return nil, noAccount(a)
		}
		k := trialKey{owner.id, Method(mechanism)}
		t, known := s.trials[k]
		if !known || !now.Before(t.Until) {
			return nil, mail.Errorf(mail.NotFound, "no trial of %s without %s is under way", owner.Address, k.mechanism)
		}
		t.Until = now
		return func(s *state) { s.trials[k] = t }, setRecord(tx, k.record(), t)
	})
}

// oldTrials are those that nobody asks for any more.
func (s *state) oldTrials(now time.Time) (old []trialKey) {
	for k, t := range s.trials {
		if now.Sub(t.Until) > trialMemory {
			old = append(old, k)
		}
	}
	return old
}

// Trials returns all trials, those that began last first.
func (d *Directory) Trials(context.Context) (all []Trial, err error) {
	d.view(func(s *state) {
		for k, t := range s.trials {
			if a := s.accounts[k.account]; a != nil {
				all = append(all, Trial{a.Address, k.mechanism, t.Networks, t.From, t.Until})
			}
		}
	})
	slices.SortFunc(all, func(a, b Trial) int {
		return cmp.Or(b.From.Compare(a.From), byDomain(a.Account, b.Account), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all, nil
}

// networksOf are the networks from which an account has logged in since then.
func (d *Directory) networksOf(ctx context.Context, a mail.Address, since time.Time) (all []netip.Prefix, err error) {
	rows, err := d.Census(ctx, a, since)
	for i := range rows {
		if n := rows[i].Network; rows[i].OK() && n.IsValid() && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return bytes.Compare(a.Addr().AsSlice(), b.Addr().AsSlice()) })
	return all, err
}
