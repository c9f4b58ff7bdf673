package mailbox

import (
	"context"
	"encoding/binary"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// sweepBatch is how many messages are removed in one transaction.
	sweepBatch = 500
	// sweepRetry is how long the sweeper rests after a failure.
	sweepRetry = time.Minute
)

// sweeper removes what is doomed: once at the start, then when something is deleted.
func (s *Store) sweeper(ctx context.Context) {
	defer s.work.Done()
	for ctx.Err() == nil {
		retry := make(<-chan time.Time)
		if err := s.sweepAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("removing deleted mailboxes", "err", err)
			retry = time.After(sweepRetry)
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-retry:
		}
	}
}

func (s *Store) wakeSweeper() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Store) sweepAll(ctx context.Context) error {
	doomed, err := s.doomed(ctx)
	if err != nil {
		return err
	}
	for _, k := range doomed {
		if err := s.sweep(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// doomed returns the mailboxes, and the accounts with mailbox 0, that are to be removed.
func (s *Store) doomed(ctx context.Context) ([]tableKey, error) {
	var found []tableKey
	prefix := key(noAccount, kindDoomed, 0)
	err := s.db.View(ctx, func(r kv.Reader) error {
		for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			k := p.Key[len(prefix):]
			found = append(found, tableKey{mail.AccountID(binary.BigEndian.Uint64(k)), idOf(k[8:])})
		}
		return nil
	})
	return found, err
}

// sweep removes a doomed mailbox's messages, or all that an account had. Each transaction removes what it
// can of the rest, so that it does not matter where one ended.
func (s *Store) sweep(ctx context.Context, doomed tableKey) error {
	for more := true; more; {
		err := s.db.Update(ctx, func(tx kv.Tx) (err error) {
			more, err = sweepSome(tx, doomed)
			return err
		})
		if err != nil {
			return err
		}
	}
	s.stats.swept.Add(1)
	return nil
}

// sweepSome removes some messages, and once there are none what else there is.
func sweepSome(tx kv.Tx, doomed tableKey) (more bool, err error) {
	records := doomed.prefix(kindRecord)
	owners, blobs, err := doomedLinks(tx, records)
	if err != nil {
		return false, err
	}
	for i, owner := range owners {
		tx.Unlink(blobs[i], owner)
		tx.Delete(owner)
	}
	if len(owners) == sweepBatch {
		return true, nil
	}
	if doomed.id == 0 {
		whole := key(doomed.account, 0, 0)
		whole = whole[:len(whole)-1]
		tx.DeleteRange(whole, kv.PrefixEnd(whole))
	} else {
		for _, kind := range []byte{kindHot, kindImport, kindLog} {
			prefix := doomed.prefix(kind)
			tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		}
	}
	tx.Delete(doomedKey(doomed.account, doomed.id))
	return false, nil
}

// prefix returns the prefix of the keys of a kind that are doomed.
func (k tableKey) prefix(kind byte) []byte {
	if k.id == 0 {
		return key(k.account, kind, 0)
	}
	return mailboxKey(k.account, kind, k.id)
}

func doomedLinks(tx kv.Tx, prefix []byte) (owners [][]byte, blobs []kv.BlobID, err error) {
	for p, err := range tx.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return nil, nil, err
		}
		r, err := decodeRecord(uidOf(p.Key), p.Value)
		if err != nil {
			return nil, nil, err
		}
		owners = append(owners, append([]byte(nil), p.Key...))
		blobs = append(blobs, r.blob)
		if len(owners) == sweepBatch {
			break
		}
	}
	return owners, blobs, nil
}
