package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// censusInterval is how long an attempt may wait to be written; a crash loses it.
	censusInterval = time.Minute
	// censusCare is how often it is looked for rows that are too old and for mechanisms that nobody uses.
	censusCare = time.Hour
	// sweepBatch bounds the rows that one transaction takes away.
	sweepBatch = 500
)

// monthFields are what is kept of a login attempt for ever: nothing of persons or their networks.
type monthFields struct {
	Domain    mail.Domain         `json:"d,omitempty"` // of the account
	Service   Service             `json:"s"`
	Mechanism string              `json:"m"`
	State     mail.TransportState `json:"t"`
	Reason    string              `json:"r,omitempty"`
}

// monthRecord is a row of a month that is over.
type monthRecord struct {
	monthFields
	Times int64 `json:"x"`
}

// CensusMonth counts the attempts of a month that are too old to be kept in more detail.
type CensusMonth struct {
	Month     string              `json:"month"` // as "2026-11"
	Domain    mail.Domain         `json:"domain,omitempty"`
	Service   Service             `json:"svc"`
	Mechanism string              `json:"method"`
	State     mail.TransportState `json:"tls.state"`
	Reason    string              `json:"reason,omitempty"`
	Times     int64               `json:"times"`
}

// keepCensus writes what has gathered, until ctx ends, and looks after what is written.
func (d *Directory) keepCensus(ctx context.Context) {
	minute, hour := time.NewTicker(censusInterval), time.NewTicker(censusCare)
	defer minute.Stop()
	defer hour.Stop()
	for {
		var err error
		select {
		case <-minute.C:
			err = d.writeCensus(ctx)
		case <-d.census.wake:
			err = d.writeCensus(ctx)
		case <-hour.C:
			d.retire()
			err = d.sweepCensus(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
			defer cancel()
			if err := d.writeCensus(last); err != nil {
				d.log.Warn("could not write the census of logins", "err", err)
			}
			return
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("could not write the census of logins", "err", err)
		}
	}
}

// sweepCensus moves rows that are too old into the counts of their months.
func (d *Directory) sweepCensus(ctx context.Context) error {
	oldest := dayOf(d.now().Add(-d.policy().censusKept()))
	for {
		var old []kv.Pair
		err := d.db.View(ctx, func(r kv.Reader) (err error) {
			old, err = oldRows(r, oldest)
			return err
		})
		if err != nil || len(old) == 0 {
			return err
		}
		if err := d.db.Update(ctx, func(tx kv.Tx) error { return d.age(tx, old) }); err != nil {
			return fmt.Errorf("moving old rows: %w", err)
		}
	}
}

// oldRows returns some of the rows before a day.
func oldRows(r kv.Reader, oldest censusDay) (old []kv.Pair, err error) {
	accounts, err := censusAccounts(r)
	for _, id := range accounts {
		for p, err := range r.Scan(censusPrefix(id), censusOwner{id, oldest}.prefix()) {
			if err != nil {
				return nil, err
			}
			if old = append(old, kv.Pair{Key: bytes.Clone(p.Key), Value: bytes.Clone(p.Value)}); len(old) == sweepBatch {
				return old, nil
			}
		}
	}
	return old, err
}

// censusAccounts returns whose rows there are.
func censusAccounts(r kv.Reader) (all []mail.AccountID, err error) {
	from, end := keyDays, kv.PrefixEnd(keyDays)
	for {
		next := false
		for p, err := range r.Scan(from, end) {
			if err != nil {
				return nil, err
			}
			if len(p.Key) < len(keyDays)+8 {
				from = append(bytes.Clone(p.Key), 0) // verify tells of it
			} else {
				id := mail.AccountID(binary.BigEndian.Uint64(p.Key[len(keyDays):]))
				all, from = append(all, id), kv.PrefixEnd(censusPrefix(id))
			}
			next = true
			break
		}
		if !next {
			return all, nil
		}
	}
}

// age takes rows away and counts them in their months.
func (d *Directory) age(tx kv.Tx, old []kv.Pair) error {
	type month struct {
		number uint32
		monthFields
	}
	counts := map[month]int64{}
	for _, p := range old {
		if o, r, err := parseCensus(p); err == nil {
			first := o.day.start()
			counts[month{
				uint32(first.Year())*12 + uint32(first.Month()) - 1,
				monthFields{d.domainOf(o.account), r.Service, r.Mechanism, r.State, r.Reason},
			}] += r.Times
		}
		tx.Delete(p.Key)
	}
	for m, times := range counts {
		key := append(binary.BigEndian.AppendUint32(bytes.Clone(keyMonths), m.number), censusSum(m.monthFields)...)
		record := monthRecord{m.monthFields, times}
		switch v, err := tx.Get(key); {
		case err == nil:
			var before monthRecord
			if json.Unmarshal(v, &before) == nil {
				record.Times += before.Times
			}
		case !missing(err):
			return err
		}
		if err := setRecord(tx, key, record); err != nil {
			return err
		}
	}
	return nil
}

// domainOf is the domain of an account, if there is still one.
func (d *Directory) domainOf(id mail.AccountID) (found mail.Domain) {
	d.view(func(s *state) {
		if a := s.accounts[id]; a != nil {
			found = a.Address.Domain
		}
	})
	return found
}

// parseMonth reads a row of a month.
func parseMonth(p kv.Pair) (m CensusMonth, err error) {
	var r monthRecord
	if len(p.Key) != len(keyMonths)+4+8 {
		return m, errDamaged
	}
	if err := json.Unmarshal(p.Value, &r); err != nil {
		return m, err
	}
	n := binary.BigEndian.Uint32(p.Key[len(keyMonths):])
	return CensusMonth{
		Month: fmt.Sprintf("%04d-%02d", n/12, n%12+1), Domain: r.Domain, Service: r.Service, Mechanism: r.Mechanism,
		State: r.State, Reason: r.Reason, Times: r.Times,
	}, nil
}

// CensusMonths returns the counts of what is too old for Census, oldest month first.
func (d *Directory) CensusMonths(ctx context.Context) (all []CensusMonth, err error) {
	err = d.db.View(ctx, func(r kv.Reader) error {
		all = nil
		for p, err := range r.Scan(keyMonths, kv.PrefixEnd(keyMonths)) {
			if err != nil {
				return err
			}
			m, err := parseMonth(p)
			if err != nil {
				return fmt.Errorf("record %q: %w", p.Key, err)
			}
			all = append(all, m)
		}
		return nil
	})
	return all, err
}
