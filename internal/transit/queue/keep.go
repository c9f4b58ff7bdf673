package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// tidyInterval is how often records are looked through for those that are too old.
	tidyInterval = time.Hour
	// usersAge is the age at which the address of a user's message becomes its network (TS-7.4).
	usersAge = 14 * 24 * time.Hour
)

// KeepRecords changes how long records are kept.
func (q *Queue) KeepRecords(d time.Duration) { q.keep.Store(int64(d)) }

// keepRecords removes records in time, until the queue closes.
func (q *Queue) keepRecords() {
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	for {
		if err := q.tidyRecords(q.ctx); err != nil && q.ctx.Err() == nil {
			q.o.Log.Error("looking through the records of messages failed", "err", err)
		}
		select {
		case <-q.done:
			return
		case <-tick.C:
		case <-q.tidy:
		}
	}
}

// tidyRecords removes the records of accounts that are gone and those that are too old, and cuts the addresses of
// users, in transactions of one page.
func (q *Queue) tidyRecords(ctx context.Context) error {
	now := q.o.Now()
	old := leastID(now.Add(-time.Duration(q.keep.Load())))
	young := leastID(now.Add(-usersAge))
	steps := []func(kv.Tx) (more bool, err error){
		eraseDoomed,
		func(tx kv.Tx) (bool, error) { return expireRecords(tx, old) },
		func(tx kv.Tx) (bool, error) { return cutAddresses(tx, young) },
	}
	for _, step := range steps {
		for more := true; more; {
			if q.closing() {
				return nil
			}
			err := q.db.Update(ctx, func(tx kv.Tx) (err error) {
				more, err = step(tx)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// DoomRecords makes a transaction the end of the records of an account's submissions: they are removed soon after.
func DoomRecords(tx kv.Tx, account mail.AccountID) error {
	tx.Set(doomedKey(account), nil)
	return nil
}

// Tidy removes at once, in the background, what DoomRecords has marked.
func (q *Queue) Tidy() {
	select {
	case q.tidy <- struct{}{}:
	default:
	}
}

// eraseDoomed removes a page of the records of an account that is gone.
func eraseDoomed(tx kv.Tx) (more bool, err error) {
	from := []byte{prefix, doomedTag}
	for p, err := range tx.Scan(from, kv.PrefixEnd(from)) {
		if err != nil {
			return false, err
		}
		key := append([]byte(nil), p.Key...)
		account, ok := parseDoomedKey(key)
		if !ok {
			continue
		}
		rest, err := eraseAccount(tx, account)
		if err == nil && !rest {
			tx.Delete(key)
		}
		return true, err
	}
	return false, nil
}

// eraseAccount removes a page of an account's records, and reports whether there may be more.
func eraseAccount(tx kv.Tx, account mail.AccountID) (more bool, err error) {
	var keys [][]byte
	from := accountPrefix(account)
	for p, err := range tx.Scan(from, kv.PrefixEnd(from)) {
		if err != nil {
			return false, err
		}
		if keys = append(keys, append([]byte(nil), p.Key...)); len(keys) == page {
			break
		}
	}
	for _, k := range keys {
		if _, id, ok := parseAccountKey(k); ok {
			tx.Delete(recordKey(id))
		}
		tx.Delete(k)
	}
	return len(keys) == page, nil
}

// storedRecord is a record's row.
type storedRecord struct {
	id     ID
	record Record
	err    error // it cannot be read
}

// records returns a page of the records with from <= ID < to.
func records(tx kv.Reader, from, to ID) ([]storedRecord, error) {
	var all []storedRecord
	if from >= to {
		return nil, nil
	}
	for p, err := range tx.Scan(recordKey(from), recordKey(to)) {
		if err != nil {
			return nil, err
		}
		id, _ := parseRecordKey(p.Key)
		r, err := decodeRecord(id, p.Value)
		if all = append(all, storedRecord{id, r, err}); len(all) == page {
			break
		}
	}
	return all, nil
}

// expireRecords removes a page of the records before old and counts them by day, domain and state.
func expireRecords(tx kv.Tx, old ID) (more bool, err error) {
	all, err := records(tx, "", old)
	if err != nil {
		return false, err
	}
	counts := map[string]uint64{}
	for _, s := range all {
		tx.Delete(recordKey(s.id))
		if s.err != nil {
			continue
		}
		if s.record.Account != 0 {
			tx.Delete(accountKey(s.record.Account, s.id))
		}
		counts[string(dayKey(s.record.Time, s.record.State, s.record.Domain))]++
	}
	for k, n := range counts {
		v, err := tx.Get([]byte(k))
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return false, err
		}
		before, _ := binary.Uvarint(v)
		tx.Set([]byte(k), binary.AppendUvarint(nil, before+n))
	}
	return len(all) == page, nil
}

// cutAddresses cuts the users' addresses in a page of the records before young.
func cutAddresses(tx kv.Tx, young ID) (more bool, err error) {
	from, err := tx.Get(cutKey())
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	all, err := records(tx, ID(from), young)
	if err != nil || len(all) == 0 {
		return false, err
	}
	for _, s := range all {
		if s.err != nil || s.record.Account == 0 {
			continue
		}
		s.record.RIP, s.record.RPort = networkOf(s.record.RIP), 0
		tx.Set(recordKey(s.id), encodeRecord(&s.record))
	}
	tx.Set(cutKey(), append([]byte(all[len(all)-1].id), 0))
	return len(all) == page, nil
}

// networkOf is the /24 or /48 of an address.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // both are in range
	return p.String()
}

// DayCount is what is left of the records of a day.
type DayCount struct {
	Day      string              `json:"day"` // UTC
	Domain   mail.Domain         `json:"sender_domain"`
	State    mail.TransportState `json:"tls.state"`
	Messages uint64              `json:"messages"`
}

// EachDay calls f for each count of messages by day, state and domain whose records are gone, oldest first. An error
// of f ends it.
func (q *Queue) EachDay(ctx context.Context, f func(DayCount) error) error {
	from, end := []byte{prefix, dayTag}, []byte{prefix, dayTag + 1}
	for from != nil {
		var counts []DayCount
		var next []byte
		err := q.db.View(ctx, func(tx kv.Reader) error {
			counts, next = nil, nil
			for p, err := range tx.Scan(from, end) {
				if err != nil {
					return err
				}
				if len(counts) == page {
					next = append([]byte(nil), p.Key...)
					return nil
				}
				if c, ok := parseDayKey(p.Key); ok {
					c.Messages, _ = binary.Uvarint(p.Value)
					counts = append(counts, c)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, c := range counts {
			if err := f(c); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}
