package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// Arrival is how a message came to us, as its record keeps it besides the hop's transport.
type Arrival struct {
	Listener      string // its name
	Helo          string // EHLO name
	Remote, Local netip.AddrPort
	Normalised    bool            // bare CR or LF became CRLF
	Forged        bool            // it had a Candor-Transport field, which was removed
	Claims        []message.Claim // of earlier hops, the nearest first
	Hops          int             // how many Received fields it had
}

// Record is what is kept of a message's way to us (specification, section 7.1). It holds nothing of the content,
// and no recipient.
type Record struct {
	ID       ID          `json:"id"`
	Time     time.Time   `json:"time"`
	Hop      message.Hop `json:"hop"`
	Listener string      `json:"listener,omitempty"`
	mail.Transport
	Method string `json:"method,omitempty"` // SASL mechanism
	Helo   string `json:"ehlo,omitempty"`
	// RIP is the peer's address; of a user's older message, its network.
	RIP   string `json:"rip,omitempty"`
	RPort uint16 `json:"rport,omitempty"`
	LIP   string `json:"lip,omitempty"`
	LPort uint16 `json:"lport,omitempty"`
	// Domain is that of the reverse-path.
	Domain     mail.Domain    `json:"sender_domain"`
	Account    mail.AccountID `json:"account,omitempty"` // that submitted it
	RequireTLS bool           `json:"requiretls"`
	SMTPUTF8   bool           `json:"smtputf8"`
	Normalised bool           `json:"line_ends_normalised,omitempty"`
	Forged     bool           `json:"candor_transport_forged,omitempty"`
	// Claimed is what earlier hops say of themselves, the nearest first; there were Hops in all.
	Claimed []message.Claim `json:"claimed"`
	Hops    int             `json:"hops"`
}

// Hop says in which way the message came.
func (m *Message) Hop() message.Hop {
	switch {
	case m.Inbound.State == mail.LocalState:
		return message.LocalHop
	case m.Envelope.Account != 0:
		return message.SubmissionHop
	}
	return message.InboundHop
}

// record is the message's record.
func (m *Message) record() Record {
	a := &m.Arrival
	r := Record{
		ID: m.ID, Time: m.Envelope.Received, Hop: m.Hop(), Listener: a.Listener, Transport: m.Inbound, Helo: a.Helo,
		RPort: a.Remote.Port(), LPort: a.Local.Port(),
		Domain: m.Envelope.ReversePath.Domain, Account: m.Envelope.Account, SMTPUTF8: m.Envelope.SMTPUTF8,
		Normalised: a.Normalised, Forged: a.Forged, Claimed: a.Claims, Hops: a.Hops,
	}
	if a.Remote.IsValid() {
		r.RIP = a.Remote.Addr().String()
	}
	if a.Local.IsValid() {
		r.LIP = a.Local.Addr().String()
	}
	r.complete()
	return r
}

// complete sets what follows from the rest.
func (r *Record) complete() {
	if mechanism, ok := strings.CutPrefix(r.Peer, "sasl:"); ok {
		r.Method = mechanism
	}
	if r.Claimed == nil {
		r.Claimed = []message.Claim{}
	}
}

// recording is the step of a transaction that writes a message's record.
func (m *Message) recording() func(kv.Tx) error {
	r := m.record()
	key, value := recordKey(m.ID), encodeRecord(&r)
	return func(tx kv.Tx) error {
		tx.Set(key, value)
		if r.Account != 0 {
			tx.Set(accountKey(r.Account, r.ID), nil)
		}
		return nil
	}
}

// flags are the record's bits, the least first; more may come at the end.
func (r *Record) flags() [4]*bool {
	return [...]*bool{&r.RequireTLS, &r.SMTPUTF8, &r.Normalised, &r.Forged}
}

func encodeRecord(r *Record) []byte {
	b := make([]byte, 0, 384)
	b = appendTime(b, r.Time)
	b = appendText(b, r.Hop)
	b = appendText(b, r.Listener)
	b = appendTransport(b, &r.Transport)
	b = appendText(b, r.Scope)
	b = appendText(b, r.Helo)
	b = appendText(b, r.RIP)
	b = binary.AppendUvarint(b, uint64(r.RPort))
	b = appendText(b, r.LIP)
	b = binary.AppendUvarint(b, uint64(r.LPort))
	b = appendText(b, r.Domain)
	b = binary.AppendUvarint(b, uint64(r.Account))
	var flags uint64
	for i, set := range r.flags() {
		if *set {
			flags |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendUvarint(b, uint64(r.Hops))
	b = binary.AppendUvarint(b, uint64(len(r.Claimed)))
	for _, c := range r.Claimed {
		b = appendText(appendText(appendText(b, c.By), c.With), c.TLS)
	}
	return b
}

func decodeRecord(id ID, value []byte) (Record, error) {
	d := decoder{b: value}
	r := Record{ID: id, Time: d.time(), Hop: message.Hop(d.text()), Listener: d.text(), Transport: d.transport()}
	r.Scope = d.text()
	r.Helo = d.text()
	r.RIP, r.RPort = d.text(), uint16(d.uvarint())
	r.LIP, r.LPort = d.text(), uint16(d.uvarint())
	r.Domain = mail.Domain(d.text())
	r.Account = mail.AccountID(d.uvarint())
	flags := d.uvarint()
	for i, set := range r.flags() {
		*set = flags&(1<<i) != 0
	}
	r.Hops = d.number()
	for n := d.number(); n > 0 && len(d.b) > 0; n-- {
		r.Claimed = append(r.Claimed, message.Claim{By: d.text(), With: d.text(), TLS: d.text()})
	}
	if d.bad || len(value) == 0 {
		return r, fmt.Errorf("record %s: %w", id, kv.ErrCorrupt)
	}
	r.complete()
	return r, nil
}

// Record returns what is kept of a message's way to us. Errors: NotFound.
func (q *Queue) Record(ctx context.Context, id ID) (Record, error) {
	var r Record
	err := q.db.View(ctx, func(tx kv.Reader) error {
		value, err := tx.Get(recordKey(id))
		if err == nil {
			r, err = decodeRecord(id, value)
		}
		return err
	})
	if !errors.Is(err, kv.ErrNotFound) {
		return r, err
	}
	e, err := q.load(ctx, id) // from before there were records
	if errors.Is(err, kv.ErrNotFound) {
		return r, mail.Errorf(mail.NotFound, "there is no record of %.40q: it is not an id of this server's, or it is too old", string(id))
	}
	if err != nil {
		return r, err
	}
	return e.m.record(), nil
}

// EachRecord calls f for the records of an account's submissions, oldest first, holding few in memory. An error
// of f ends it.
func (q *Queue) EachRecord(ctx context.Context, account mail.AccountID, f func(Record) error) error {
	from, end := accountPrefix(account), kv.PrefixEnd(accountPrefix(account))
	for from != nil {
		var records []Record
		err := q.db.View(ctx, func(tx kv.Reader) (err error) {
			from, records, err = recordPage(tx, from, end)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// recordPage reads the records of some of the account keys from from on, and returns where to go on.
func recordPage(tx kv.Reader, from, end []byte) (next []byte, records []Record, err error) {
	n := 0
	for p, err := range tx.Scan(from, end) {
		if err != nil {
			return nil, nil, err
		}
		if n++; n > page {
			next = append([]byte(nil), p.Key...)
			break
		}
		_, id, ok := parseAccountKey(p.Key)
		if !ok {
			continue
		}
		value, err := tx.Get(recordKey(id))
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		r, err := decodeRecord(id, value)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, r)
	}
	return next, records, nil
}
