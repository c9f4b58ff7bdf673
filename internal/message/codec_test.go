package message

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"candor/internal/mail"
)

func TestUnmarshalErrors(t *testing.T) {
	good := scanWhole(nested).Marshal(nil)
	for i := range good {
		var a Attributes
		if err := a.Unmarshal(good[:i]); !mail.IsKind(err, mail.Internal) {
			t.Errorf("the first %d octets: %v", i, err)
		}
	}
	for name, data := range map[string][]byte{
		"other version":  append([]byte{codecVersion + 1}, good[1:]...),
		"something more": append(append([]byte{}, good...), 0),
	} {
		var a Attributes
		if err := a.Unmarshal(data); !mail.IsKind(err, mail.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnmarshalDamaged: an octet that changed gives an error or attributes that can be used.
func TestUnmarshalDamaged(t *testing.T) {
	good := scanWhole(nested).Marshal(nil)
	r := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		data := append([]byte{}, good...)
		for range 1 + r.IntN(3) {
			data[r.IntN(len(data))] = byte(r.IntN(256))
		}
		checkUnmarshal(t, data)
	}
}

func checkUnmarshal(t *testing.T, data []byte) {
	t.Helper()
	var a, b Attributes
	if a.Unmarshal(data) != nil {
		return
	}
	if end := a.Root.BodyOffset + a.Root.BodySize; end > a.Size {
		t.Fatalf("%x: root ends at %d of %d", data, end, a.Size)
	}
	checkWithin(t, &a.Root, 0, a.Size)
	if err := b.Unmarshal(a.Marshal(nil)); err != nil {
		t.Fatalf("%x: marshalled again: %v", data, err)
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Fatalf("%x: marshalled again:\n%s", data, d)
	}
}

func checkWithin(t *testing.T, p *Part, from, to int64) {
	t.Helper()
	if p.HeaderOffset < from || p.BodyOffset < p.HeaderOffset || p.BodySize < 0 || p.BodyOffset+p.BodySize > to {
		t.Fatalf("part %+v does not lie within %d-%d", p, from, to)
	}
	if !p.mayHave(len(p.Children)) || p.isMessage() != (p.Envelope != nil) {
		t.Fatalf("%s/%s has %d children, envelope %v", p.Type, p.Subtype, len(p.Children), p.Envelope)
	}
	for i := range p.Children {
		checkWithin(t, &p.Children[i], p.HeaderOffset, p.BodyOffset+p.BodySize)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(scanWhole(nested).Marshal(nil))
	f.Add(scanWhole(plainMessage()).Marshal(nil))
	f.Fuzz(checkUnmarshal)
}

// TestMarshalAppends: what is in dst stays there, and the envelope's marks stand for equal lists only.
func TestMarshalAppends(t *testing.T) {
	a := scanWhole("From: a@b\r\nSender: c@d\r\nReply-To: a@b\r\n\r\n")
	data := a.Marshal([]byte("before"))
	if string(data[:6]) != "before" {
		t.Fatalf("got %q", data)
	}
	var b Attributes
	if err := b.Unmarshal(data[6:]); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*a, b); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
