package queue

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
)

func sampleMessage() *Message {
	m := &Message{ID: "0123456789abcdef", Trace: []byte("Received: by x\r\n"), BlobSize: 1 << 40}
	m.Arrival.Helo, m.Arrival.Remote = "h", netip.MustParseAddrPort("192.0.2.1:0")
	m.Blob[0], m.Blob[15] = 1, 2
	m.Envelope.ReversePath.Address = addr(`"odd one"@example.org`)
	m.Envelope.BodyType, m.Envelope.SMTPUTF8, m.Envelope.Account = "8BITMIME", true, 77
	m.Envelope.Received = time.Unix(1700000000, 123456789)
	m.Inbound = mail.Transport{
		State: mail.EncryptedUnauthenticated, Floor: mail.Clear, FloorSource: "public-mx", Mode: mail.StartTLS, Version: "TLS1.3",
		Cipher: "c", Group: "g", Resumed: true, SNI: "s", ALPN: "a", SPKI: "k", Cert: "x", Name: "n", DNSSEC: "d", Fail: "f", Peer: "p", Scope: "private",
	}
	return m
}

func sampleRecipient() *recipient {
	to := remote("jörg@example.net")
	return &recipient{
		n: 3, to: to, depth: 2, due: time.Unix(1700000001, 5), attempts: 9, warned: true,
		last: &Result{
			Recipient: to, Err: &mail.Error{Kind: mail.RemoteFailure, Status: mail.Status{Class: 4, Subject: 7, Detail: 1}, Text: "later"},
			RemoteMTA: "mx[192.0.2.1]:25", Reply: "451 4.7.1 later", At: time.Unix(1700000002, 0), Transport: sampleMessage().Inbound,
		},
	}
}

func TestCodecRoundTrip(t *testing.T) {
	m, created := sampleMessage(), time.Unix(1700000003, 7)
	got, at, err := decodeItem(m.ID, encodeItem(m, created))
	if err != nil || !at.Equal(created) || !reflect.DeepEqual(got, m) {
		t.Errorf("item:\n got %+v, %s, %v\nwant %+v", got, at, err, m)
	}
	for name, r := range map[string]*recipient{"full": sampleRecipient(), "fresh": {n: 3, to: local("bob@example.org")}} {
		got, err := decodeRecipient(r.n, encodeRecipient(r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s recipient:\n got %+v, %v\nwant %+v", name, got, err, r)
		}
	}
}

func sampleRecord() Record {
	m := sampleMessage()
	m.Inbound.Peer = "sasl:PLAIN"
	m.Arrival = Arrival{
		Listener: "submission:587", Helo: "h", Remote: netip.MustParseAddrPort("[2001:db8::1]:4711"), Local: netip.MustParseAddrPort("192.0.2.1:587"),
		Normalised: true, Forged: true, Claims: []message.Claim{{By: "b", With: "ESMTPS", TLS: "c"}, {With: "SMTP"}}, Hops: 30,
	}
	return m.record()
}

func TestRecordRoundTrip(t *testing.T) {
	r := sampleRecord()
	got, err := decodeRecord(r.ID, encodeRecord(&r))
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, r)
	}
	if r.Method != "PLAIN" || r.RIP != "2001:db8::1" || r.Hop != message.SubmissionHop {
		t.Errorf("%+v", r)
	}
}

// FuzzDecode: damaged values are errors or values that can be written again, never a panic.
func FuzzDecode(f *testing.F) {
	f.Add(encodeItem(sampleMessage(), time.Unix(1, 0)))
	f.Add(encodeRecipient(sampleRecipient()))
	sample := sampleRecord()
	f.Add(encodeRecord(&sample))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, created, err := decodeItem("0123456789abcdef", b); err == nil {
			again := encodeItem(m, created)
			if m2, created2, err := decodeItem(m.ID, again); err != nil || !bytes.Equal(again, encodeItem(m2, created2)) {
				t.Fatalf("item %+v does not come back: %+v, %v", m, m2, err)
			}
		}
		if r, err := decodeRecord("0123456789abcdef", b); err == nil {
			again := encodeRecord(&r)
			if r2, err := decodeRecord(r.ID, again); err != nil || !bytes.Equal(again, encodeRecord(&r2)) {
				t.Fatalf("record %+v does not come back: %+v, %v", r, r2, err)
			}
		}
		if r, err := decodeRecipient(1, b); err == nil {
			again := encodeRecipient(r)
			if r2, err := decodeRecipient(1, again); err != nil || !bytes.Equal(again, encodeRecipient(r2)) {
				t.Fatalf("recipient %+v does not come back: %+v, %v", r, r2, err)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	var s ids
	now := time.Unix(1700000000, 0)
	last := ID("")
	for i := range 10_000 {
		if i%100 == 0 {
			now = now.Add(time.Duration(i%300-100) * time.Millisecond) // also backwards
		}
		id := s.next(now)
		if id <= last || len(id) != idSize {
			t.Fatalf("ID %q after %q", id, last)
		}
		last = id
	}
}
