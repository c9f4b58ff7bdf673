package mailbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"candor/internal/message"
	"candor/internal/store/kv"
)

// recordFormat begins each record. One of format 1, which older programs wrote, lacks the time of arrival.
const (
	recordFormat = 2
	withoutSaved = 1
)

// createdAt is where a record bears the ModSeq of the message's arrival in this mailbox, and savedAt the time
// of that in Unix seconds, 8 octets each. They are known only in the transaction, when the rest has
// long been encoded.
const (
	createdAt = 1
	savedAt   = createdAt + 8
)

// record is a stored record. Its slices share the value it was decoded from.
type record struct {
	uid        UID
	created    ModSeq
	size       int64
	received   time.Time
	saved      time.Time // zero: not known
	blob       kv.BlobID
	prefix     []byte
	attributes []byte
}

// encodeRecord encodes a message's record with created and saved zero. The attributes are of the whole message.
func encodeRecord(m *Message, attributes *message.Attributes) []byte {
	b := make([]byte, 0, 256+len(m.Prefix))
	b = append(b, recordFormat)
	b = append(b, make([]byte, 16)...)
	b = binary.AppendUvarint(b, uint64(len(m.Prefix))+uint64(m.BlobSize))
	_, zone := m.Received.Zone()
	b = binary.AppendVarint(b, m.Received.Unix())
	b = binary.AppendVarint(b, int64(zone/60))
	b = append(b, m.Blob[:]...)
	b = appendString(b, string(m.Prefix))
	return attributes.Marshal(b)
}

// arrived returns a record with the ModSeq and the time of its message's arrival.
func arrived(value []byte, m ModSeq, at time.Time) []byte {
	if value[0] == withoutSaved {
		value = slices.Insert(value, savedAt, make([]byte, 8)...)
		value[0] = recordFormat
	}
	binary.BigEndian.PutUint64(value[createdAt:], uint64(m))
	binary.BigEndian.PutUint64(value[savedAt:], uint64(at.Unix()))
	return value
}

func decodeRecord(uid UID, value []byte) (record, error) {
	d := decoder{rest: value}
	r := record{uid: uid}
	format := d.octet()
	if format != recordFormat && format != withoutSaved {
		d.bad = true
	}
	if b := d.take(8); b != nil {
		r.created = ModSeq(binary.BigEndian.Uint64(b))
	}
	if format == recordFormat {
		if b := d.take(8); b != nil {
			r.saved = time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC()
		}
	}
	r.size = int64(d.uvarint())
	seconds, zone := d.varint(), d.varint()
	if zone < -24*60 || zone > 24*60 || r.size < 0 {
		d.bad = true
	}
	copy(r.blob[:], d.take(len(r.blob)))
	r.prefix = d.bytes()
	r.attributes = d.rest
	if d.bad {
		return record{}, d.err("record")
	}
	r.received = time.Unix(seconds, 0).In(zoneOf(int(zone)))
	return r, nil
}

// zoneOf returns the zone that many minutes east of Greenwich.
func zoneOf(minutes int) *time.Location {
	if minutes == 0 {
		return time.UTC
	}
	return time.FixedZone("", minutes*60)
}

// emailID returns the message's ObjectID. A copy has the same blob and prefix.
func (r *record) emailID() string {
	h := sha256.New()
	h.Write(r.blob[:])
	h.Write(r.prefix)
	return "M" + hex.EncodeToString(h.Sum(nil)[:16])
}

// decodeAttributes decodes the attributes; their strings share the record's value.
func (r *record) decodeAttributes() (*message.Attributes, error) {
	a := new(message.Attributes)
	if err := a.Unmarshal(r.attributes); err != nil {
		return nil, err
	}
	return a, nil
}
