package mailbox

import (
	"context"
	"fmt"
	"time"

	"candor/internal/message"
	"candor/internal/store/kv"
)

// Message is a message to be stored. Its content is Prefix followed by the blob.
type Message struct {
	Prefix     []byte              // trace fields put on top at delivery; whole lines with CRLF, or nil
	Blob       kv.BlobID           // finished; linked by Append
	BlobSize   int64               // octets
	Attributes *message.Attributes // of the blob alone; nil: Append reads the blob and computes them
	Flags      []string            // IMAP names: `\Seen`, `$Forwarded`; `\Recent` is ignored
	Keywords   []string            // as Flags, but left out where the mailbox has no room for another one
	Received   time.Time           // INTERNALDATE; zero: now
}

// Prepared is a message made ready for its transaction.
type Prepared struct {
	record []byte
	blob   kv.BlobID
	size   int64
	flags  flagNames
	wished []string // keywords
}

// rowsOctets is about what a message takes beside its record: the keys, the hot record, the link.
const rowsOctets = 256

// Octets returns about as many octets as the store of the message will write, its content aside.
func (p *Prepared) Octets() int { return len(p.record) + rowsOctets }

// Append stores messages at the end of mailbox id, all or none, and returns their UIDs once they
// are durable. also, if not nil, adds to the same transaction (the queue removes its item with it); it may
// be run several times.
//
// Errors: NotFound, Syntax (a flag), TooMany (keywords).
func (a *Account) Append(ctx context.Context, id ID, messages []Message, also func(kv.Tx) error) ([]UID, error) {
	prepared := make([]Prepared, len(messages))
	for i := range messages {
		var err error
		if prepared[i], err = a.store.Prepare(ctx, messages[i]); err != nil {
			return nil, err
		}
	}
	return a.AppendPrepared(ctx, id, prepared, also)
}

// AppendPrepared is Append for messages that are ready. Errors: NotFound, TooMany (keywords).
func (a *Account) AppendPrepared(ctx context.Context, id ID, messages []Prepared, also func(kv.Tx) error) ([]UID, error) {
	octets := 0
	for i := range messages {
		octets += messages[i].Octets()
	}
	uids := make([]UID, len(messages))
	err := a.submit(ctx, &operation{octets: octets, run: func(c *change) error {
		b, err := c.box(id)
		if err != nil {
			return err
		}
		for i := range messages {
			if uids[i], err = b.arrive(&messages[i]); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(c.tx)
	}})
	if err != nil {
		return nil, err
	}
	a.store.stats.appended.Add(int64(len(uids)))
	return uids, nil
}

func (b *box) arrive(m *Prepared) (UID, error) {
	f, err := b.bits(m.flags)
	if err != nil {
		return 0, err
	}
	for _, k := range m.wished {
		if bit, err := b.bits(flagNames{keywords: []string{k}}); err == nil {
			f |= bit
		}
	}
	return b.add(m.record, m.blob, m.size, f)
}

// Prepare does for an Append what can be done outside of its transaction. Errors: Syntax (a flag).
func (s *Store) Prepare(ctx context.Context, m Message) (Prepared, error) {
	names, err := parseFlagNames(m.Flags)
	if err != nil {
		return Prepared{}, err
	}
	wished, err := parseFlagNames(m.Keywords)
	if err != nil {
		return Prepared{}, err
	}
	if m.Received.IsZero() {
		m.Received = s.now()
	}
	attributes := m.Attributes
	if attributes == nil {
		if attributes, err = s.scan(ctx, m.Blob); err != nil {
			return Prepared{}, err
		}
	}
	if len(m.Prefix) > 0 {
		attributes = attributes.Shift(int64(len(m.Prefix)))
	}
	return Prepared{
		record: encodeRecord(&m, attributes), blob: m.Blob,
		size: int64(len(m.Prefix)) + m.BlobSize, flags: names, wished: wished.keywords,
	}, nil
}

// scan computes the attributes of a blob.
func (s *Store) scan(ctx context.Context, id kv.BlobID) (*message.Attributes, error) {
	b, err := s.db.OpenBlob(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("opening the message to be stored: %w", err)
	}
	defer b.Close()
	scanner := message.NewScanner(message.Limits{})
	if _, err := b.WriteTo(scanner); err != nil {
		return nil, fmt.Errorf("reading the message to be stored: %w", err)
	}
	return scanner.Finish(), nil
}
