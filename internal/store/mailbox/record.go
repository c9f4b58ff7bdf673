package mailbox

import (
	"encoding/binary"
	"time"

	"candor/internal/message"
	"candor/internal/store/kv"
)

// recordFormat begins each record, so that one form can be told from another while a store is
// being migrated.
const recordFormat = 1

// createdAt is where a record bears the ModSeq of the message's arrival, 8 octets. It is known only
// in the transaction, when the rest has long been encoded.
const createdAt = 1

// record is a stored record. Its slices share the value it was decoded from.
type record struct {
	uid        UID
	created    ModSeq
	size       int64
	received   time.Time
	blob       kv.BlobID
	prefix     []byte
	attributes []byte
}

// encodeRecord encodes a message's record with created zero. The attributes are of the whole message.
func encodeRecord(m *Message, attributes *message.Attributes) []byte {
	b := make([]byte, 0, 256+len(m.Prefix))
	b = append(b, recordFormat)
	b = append(b, make([]byte, 8)...)
	b = binary.AppendUvarint(b, uint64(len(m.Prefix))+uint64(m.BlobSize))
	_, zone := m.Received.Zone()
	b = binary.AppendVarint(b, m.Received.Unix())
	b = binary.AppendVarint(b, int64(zone/60))
	b = append(b, m.Blob[:]...)
	b = appendString(b, string(m.Prefix))
	return attributes.Marshal(b)
}

func setCreated(value []byte, m ModSeq) {
	binary.BigEndian.PutUint64(value[createdAt:], uint64(m))
}

func decodeRecord(uid UID, value []byte) (record, error) {
	d := decoder{rest: value}
	r := record{uid: uid}
	if b := d.take(1); b != nil && b[0] != recordFormat {
		d.bad = true
	}
	if b := d.take(8); b != nil {
		r.created = ModSeq(binary.BigEndian.Uint64(b))
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

// decodeAttributes decodes the attributes; their strings share the record's value.
func (r *record) decodeAttributes() (*message.Attributes, error) {
	a := new(message.Attributes)
	if err := a.Unmarshal(r.attributes); err != nil {
		return nil, err
	}
	return a, nil
}
