package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// errRecordMissing means that a message has a hot record alone, which no transaction leaves behind.
var errRecordMissing = fmt.Errorf("message without a record: %w", kv.ErrCorrupt)

// recordBatch and recordOctets bound what Records reads at a time. A slow client, who is written to
// between the batches, then holds no snapshot of the store.
const (
	recordBatch  = 256
	recordOctets = 256 << 10
)

// Record is the unchanging part of a message.
type Record struct {
	UID      UID
	Size     int64 // RFC822.SIZE, octets
	Received time.Time
	Saved    time.Time // when it came into this mailbox (RFC 8514); zero: not known
	Encoded  int       // octets of the attributes as they are stored
	// Attributes are those of the whole message, prefix included. They are decoded when first
	// asked for and are valid until the function that got the Record returns.
	Attributes func() (*message.Attributes, error)

	stored *record
}

// EmailID returns the ObjectID (RFC 8474) that the message shares with its copies.
func (r *Record) EmailID() string { return r.stored.emailID() }

// Records calls f for each existing message of uids (rising), reading one contiguous key range.
// It never opens a body. Errors: NotFound, and those of f.
func (m *Mailbox) Records(ctx context.Context, uids []UID, f func(*Record) error) error {
	return m.records(ctx, uids, func(r *record) error {
		var decoded *message.Attributes
		return f(&Record{UID: r.uid, Size: r.size, Received: r.received, Encoded: len(r.attributes), Saved: r.saved, stored: r, Attributes: func() (_ *message.Attributes, err error) {
			if decoded == nil {
				decoded, err = r.decodeAttributes()
			}
			return decoded, err
		}})
	})
}

// records calls f for the record of each existing message of uids. The record is valid until f returns.
func (m *Mailbox) records(ctx context.Context, uids []UID, f func(*record) error) error {
	var batch batch
	uids = rising(uids)
	for len(uids) > 0 {
		if err := m.alive(); err != nil {
			return err
		}
		if err := batch.read(ctx, m, uids); err != nil {
			return fmt.Errorf("reading records of mailbox %d: %w", m.table.key.id, err)
		}
		for _, v := range batch.values {
			r, err := decodeRecord(v.uid, batch.octets[v.from:v.to])
			if err != nil {
				return fmt.Errorf("message %d of mailbox %d: %w", v.uid, m.table.key.id, err)
			}
			if err := f(&r); err != nil {
				return err
			}
		}
		if batch.complete {
			return nil
		}
		uids = after(uids, batch.values[len(batch.values)-1].uid)
	}
	return nil
}

// after returns the part of uids (rising) above uid.
func after(uids []UID, uid UID) []UID {
	i, ok := find(uids, 0, uid)
	if ok {
		i++
	}
	return uids[i:]
}

// batch is some records, copied out of a snapshot.
type batch struct {
	octets   []byte
	values   []value
	complete bool // none is left
}

type value struct {
	uid      UID
	from, to int
}

var errBatchFull = errors.New("batch is full")

// read fills the batch with the first of uids.
func (b *batch) read(ctx context.Context, m *Mailbox, uids []UID) error {
	err := m.account.store.db.View(ctx, func(r kv.Reader) error {
		b.octets, b.values = b.octets[:0], b.values[:0]
		return scanUIDs(r, m.account.id, kindRecord, m.table.key.id, uids, func(uid UID, v []byte) error {
			from := len(b.octets)
			b.octets = append(b.octets, v...)
			b.values = append(b.values, value{uid, from, len(b.octets)})
			if len(b.values) >= recordBatch || len(b.octets) >= recordOctets {
				return errBatchFull
			}
			return nil
		})
	})
	b.complete = err == nil
	if errors.Is(err, errBatchFull) {
		return nil
	}
	return err
}

// Body is an open message: prefix and blob as one. ReadAt may be called concurrently.
type Body interface {
	io.ReaderAt
	io.WriterTo
	Size() int64
	Close() error
}

// OpenBody opens a message's content. Errors: Expunged, NotFound (the mailbox).
func (m *Mailbox) OpenBody(ctx context.Context, uid UID) (Body, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	var r record
	err := m.account.store.db.View(ctx, func(reader kv.Reader) error {
		v, err := reader.Get(uidKey(m.account.id, kindRecord, m.table.key.id, uid))
		if err != nil {
			return err
		}
		r, err = decodeRecord(uid, v)
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return nil, expunged(uid)
	}
	if err != nil {
		return nil, fmt.Errorf("reading message %d of mailbox %d: %w", uid, m.table.key.id, err)
	}
	return m.openBlob(ctx, &r)
}

func (m *Mailbox) openBlob(ctx context.Context, r *record) (*body, error) {
	blob, err := m.account.store.db.OpenBlob(ctx, r.blob)
	if err == nil {
		return &body{prefix: r.prefix, blob: blob}, nil
	}
	// The last link to the blob may have been taken away since the record was read.
	if errors.Is(err, kv.ErrNotFound) && len(m.Entries(nil, []UID{r.uid})) == 0 {
		return nil, expunged(r.uid)
	}
	return nil, fmt.Errorf("opening the body of message %d of mailbox %d: %w", r.uid, m.table.key.id, err)
}

func expunged(uid UID) error { return mail.Errorf(mail.Expunged, "message with UID %d is gone", uid) }

// body is a prefix and a blob as one.
type body struct {
	prefix []byte
	blob   kv.Blob
}

func (b *body) Size() int64  { return int64(len(b.prefix)) + b.blob.Size() }
func (b *body) Close() error { return b.blob.Close() }

func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("reading before the start of a message")
	}
	n := 0
	if off < int64(len(b.prefix)) {
		if n = copy(p, b.prefix[off:]); n == len(p) {
			return n, nil
		}
	}
	more, err := b.blob.ReadAt(p[n:], off+int64(n)-int64(len(b.prefix)))
	return n + more, err
}

func (b *body) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.prefix)
	if err != nil {
		return int64(n), err
	}
	more, err := b.blob.WriteTo(w)
	return int64(n) + more, err
}
