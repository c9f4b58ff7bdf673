package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// The queue's keys. An ID is 16 octets of text that sort by age; n numbers an item's recipients; due
// is in milliseconds since 1970, big-endian.
//
//	q v                format: 1
//	q i ID             item: all that does not change (codec.go); owns the link to the blob
//	q r ID n(4)        recipient that is not done, with what became of it so far
//	q l due(8) ID n(4) index of local recipients by the time of their next attempt
//	q x due(8) ID n(4) index of remote recipients, likewise
//	q m ID             record of a message that came in (record.go)
//	q a account(8) ID  index of the records of an account's submissions
//	q z account(8)     the account's records are to go
//	q d day(4) state(1) domain  how many messages came in on a day whose records are gone; days since 1970
//	q c                ID up to which the addresses of users are cut
//
// A recipient whose first attempt is pending in memory has no index key: the ordinary message is
// written and removed with two keys. Open makes the missing ones, so that a crash loses none.
const (
	prefix       = 'q'
	formatTag    = 'v'
	itemTag      = 'i'
	recipientTag = 'r'
	localTag     = 'l'
	remoteTag    = 'x'
	recordTag    = 'm'
	accountTag   = 'a'
	doomedTag    = 'z'
	dayTag       = 'd'
	cutTag       = 'c'

	idSize = 16
)

// format is the version of keys and values. Migrations are steps from one to the next.
const format = 1

// errNewer is returned by Open for a queue that a newer program wrote.
var errNewer = errors.New("the queue was written by a newer version of this program")

func formatKey() []byte { return []byte{prefix, formatTag} }

func itemKey(id ID) []byte { return append([]byte{prefix, itemTag}, id...) }

func recipientKey(id ID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(recipientPrefix(id), n)
}

func recipientPrefix(id ID) []byte {
	k := make([]byte, 0, 2+idSize+4)
	return append(append(k, prefix, recipientTag), id...)
}

func indexTag(r mail.Route) byte {
	if r == mail.Local {
		return localTag
	}
	return remoteTag
}

func indexKey(r mail.Route, due time.Time, id ID, n uint32) []byte {
	k := make([]byte, 0, 2+8+idSize+4)
	k = append(k, prefix, indexTag(r))
	k = binary.BigEndian.AppendUint64(k, uint64(due.UnixMilli()))
	k = append(k, id...)
	return binary.BigEndian.AppendUint32(k, n)
}

// indexFrom is the least index key of a time.
func indexFrom(r mail.Route, due time.Time) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix, indexTag(r)}, uint64(max(due.UnixMilli(), 0)))
}

func indexEnd(r mail.Route) []byte { return []byte{prefix, indexTag(r) + 1} }

// indexed is what an index key says.
type indexed struct {
	due time.Time
	id  ID
	n   uint32
}

func parseIndexKey(k []byte) (indexed, error) {
	if len(k) != 2+8+idSize+4 {
		return indexed{}, fmt.Errorf("index key %x: %w", k, kv.ErrCorrupt)
	}
	return indexed{
		due: time.UnixMilli(int64(binary.BigEndian.Uint64(k[2:]))),
		id:  ID(k[10 : 10+idSize]),
		n:   binary.BigEndian.Uint32(k[10+idSize:]),
	}, nil
}

func parseRecipientKey(k []byte) (ID, uint32, error) {
	if len(k) != 2+idSize+4 {
		return "", 0, fmt.Errorf("recipient key %x: %w", k, kv.ErrCorrupt)
	}
	return ID(k[2 : 2+idSize]), binary.BigEndian.Uint32(k[2+idSize:]), nil
}

func recordKey(id ID) []byte { return append([]byte{prefix, recordTag}, id...) }

func parseRecordKey(k []byte) (ID, bool) {
	if len(k) != 2+idSize {
		return "", false
	}
	return ID(k[2:]), true
}

func accountPrefix(a mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 2+8+idSize), prefix, accountTag), uint64(a))
}

func accountKey(a mail.AccountID, id ID) []byte { return append(accountPrefix(a), id...) }

func parseAccountKey(k []byte) (mail.AccountID, ID, bool) {
	if len(k) != 2+8+idSize {
		return 0, "", false
	}
	return mail.AccountID(binary.BigEndian.Uint64(k[2:])), ID(k[10:]), true
}

func doomedKey(a mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix, doomedTag}, uint64(a))
}

func parseDoomedKey(k []byte) (mail.AccountID, bool) {
	if len(k) != 2+8 {
		return 0, false
	}
	return mail.AccountID(binary.BigEndian.Uint64(k[2:])), true
}

func cutKey() []byte { return []byte{prefix, cutTag} }

// dayLength is that of a time's day.
const dayLength = 24 * 60 * 60

func dayKey(at time.Time, s mail.TransportState, d mail.Domain) []byte {
	k := binary.BigEndian.AppendUint32([]byte{prefix, dayTag}, uint32(max(at.Unix(), 0)/dayLength))
	return append(append(k, byte(s)), d...)
}

func parseDayKey(k []byte) (DayCount, bool) {
	if len(k) < 2+4+1 {
		return DayCount{}, false
	}
	day := time.Unix(int64(binary.BigEndian.Uint32(k[2:]))*dayLength, 0).UTC()
	return DayCount{Day: day.Format(time.DateOnly), State: mail.TransportState(k[6]), Domain: mail.Domain(k[7:])}, true
}
