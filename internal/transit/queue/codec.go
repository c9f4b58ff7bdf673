package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Values are written by hand: every accepted message pays for one of each. Numbers are varints,
// text is its length and its octets, times are nanoseconds since 1970 or 0 for none. Fields are only
// ever added at the end: a value that ends early leaves the rest empty.

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

func appendFlag(b []byte, f bool) []byte {
	if f {
		return append(b, 1)
	}
	return append(b, 0)
}

// decoder takes a value apart. After a fault everything is empty and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) == 0 {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) flag() bool { return d.uvarint() == 1 }

func (d *decoder) time() time.Time {
	v := d.varint()
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v)
}

func (d *decoder) number() int { return int(min(d.uvarint(), math.MaxInt32)) }

// address reads what was written of an address that the store has accepted before.
func (d *decoder) address() mail.Address {
	local, domain := d.text(), d.text()
	return mail.Address{Local: mail.LocalPart(local), Domain: mail.Domain(domain)}
}

func appendAddress(b []byte, a mail.Address) []byte {
	return appendText(appendText(b, a.Local), a.Domain)
}

// appendTransport writes a transport without Scope, which its owners write at their own end.
func appendTransport(b []byte, t *mail.Transport) []byte {
	b = binary.AppendUvarint(b, uint64(t.State))
	b = binary.AppendUvarint(b, uint64(t.Floor))
	b = appendFlag(b, t.Resumed)
	b = appendText(b, t.Mode)
	for _, s := range []string{
		t.FloorSource, t.Version, t.Cipher, t.Group, t.SNI, t.ALPN, t.SPKI, t.Cert, t.Name, t.DNSSEC, t.Fail, t.Peer,
	} {
		b = appendText(b, s)
	}
	return b
}

func (d *decoder) transport() mail.Transport {
	var t mail.Transport
	t.State, t.Floor = mail.TransportState(d.uvarint()), mail.TransportState(d.uvarint())
	t.Resumed = d.flag()
	t.Mode = mail.TLSMode(d.text())
	for _, s := range []*string{
		&t.FloorSource, &t.Version, &t.Cipher, &t.Group, &t.SNI, &t.ALPN, &t.SPKI, &t.Cert, &t.Name, &t.DNSSEC, &t.Fail, &t.Peer,
	} {
		*s = d.text()
	}
	return t
}

// encodeItem writes what does not change: all but recipients and attributes. The latter are handed
// over in memory; after a restart they are computed again from the blob.
func encodeItem(m *Message, created time.Time) []byte {
	e := &m.Envelope
	b := make([]byte, 0, 256+len(m.Trace))
	b = appendAddress(b, e.ReversePath.Address)
	b = appendText(b, e.BodyType)
	b = appendFlag(b, e.SMTPUTF8)
	b = binary.AppendUvarint(b, uint64(e.Account))
	b = appendTime(b, e.Received)
	b = appendTime(b, created)
	b = appendText(b, m.Trace)
	b = append(b, m.Blob[:]...)
	b = binary.AppendVarint(b, m.BlobSize)
	b = appendTransport(b, &m.Inbound)
	b = appendText(b, m.Arrival.Helo)
	remote := ""
	if m.Arrival.Remote.IsValid() {
		remote = m.Arrival.Remote.Addr().String()
	}
	b = appendText(b, remote)
	return appendText(b, m.Inbound.Scope)
}

func decodeItem(id ID, value []byte) (*Message, time.Time, error) {
	d := decoder{b: value}
	m := &Message{ID: id}
	e := &m.Envelope
	e.ReversePath.Address = d.address()
	e.BodyType = mail.BodyType(d.text())
	e.SMTPUTF8 = d.flag()
	e.Account = mail.AccountID(d.uvarint())
	e.Received = d.time()
	created := d.time()
	m.Trace = append([]byte(nil), d.bytes()...)
	if len(d.b) < len(m.Blob) {
		return nil, created, fmt.Errorf("item %s: %w", id, kv.ErrCorrupt)
	}
	copy(m.Blob[:], d.b)
	d.b = d.b[len(m.Blob):]
	m.BlobSize = d.varint()
	m.Inbound = d.transport()
	m.Arrival.Helo = d.text()
	if remote, err := netip.ParseAddr(d.text()); err == nil {
		m.Arrival.Remote = netip.AddrPortFrom(remote, 0)
	}
	m.Inbound.Scope = d.text()
	if d.bad {
		return nil, created, fmt.Errorf("item %s: %w", id, kv.ErrCorrupt)
	}
	return m, created, nil
}

// encodeRecipient writes a recipient with its history.
func encodeRecipient(r *recipient) []byte {
	b := make([]byte, 0, 64)
	b = appendAddress(b, r.to.Address)
	b = binary.AppendUvarint(b, uint64(r.to.Route))
	b = appendTime(b, r.due)
	b = binary.AppendUvarint(b, uint64(r.attempts))
	b = binary.AppendUvarint(b, uint64(r.depth))
	b = appendFlag(b, r.warned)
	if r.last == nil {
		return appendFlag(b, false)
	}
	return appendResult(appendFlag(b, true), r.last)
}

func decodeRecipient(n uint32, value []byte) (*recipient, error) {
	d := decoder{b: value}
	r := &recipient{n: n}
	r.to.Address = d.address()
	r.to.Route = mail.Route(d.uvarint())
	r.due = d.time()
	r.attempts = d.number()
	r.depth = d.number()
	r.warned = d.flag()
	if d.flag() {
		r.last = d.result(r.to)
	}
	if d.bad {
		return nil, fmt.Errorf("recipient %d: %w", n, kv.ErrCorrupt)
	}
	return r, nil
}

func appendResult(b []byte, r *Result) []byte {
	e := mail.AsError(r.Err)
	if e == nil {
		e = &mail.Error{}
	}
	b = binary.AppendUvarint(b, uint64(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.Status.Class))
	b = binary.AppendUvarint(b, uint64(e.Status.Subject))
	b = binary.AppendUvarint(b, uint64(e.Status.Detail))
	b = appendText(b, e.Text)
	b = appendText(b, r.RemoteMTA)
	b = appendText(b, r.Reply)
	b = appendTime(b, r.At)
	b = appendTransport(b, &r.Transport)
	return appendText(b, r.Transport.Scope)
}

func (d *decoder) result(to mail.Recipient) *Result {
	e := &mail.Error{Kind: mail.Kind(d.uvarint())}
	e.Status = mail.Status{Class: uint16(d.uvarint()), Subject: uint16(d.uvarint()), Detail: uint16(d.uvarint())}
	if int(e.Kind) >= len(mail.Kinds()) {
		e.Kind = mail.Internal
	}
	e.Text = d.text()
	r := &Result{Recipient: to, Err: e}
	r.RemoteMTA = d.text()
	r.Reply = d.text()
	r.At = d.time()
	r.Transport = d.transport()
	r.Transport.Scope = d.text()
	return r
}
