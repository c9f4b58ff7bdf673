package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const testSalt = 0x1122334455667788

// testSegment is a segment made by hand, with the places of its records.
type testSegment struct {
	bytes   []byte
	records []span
}

// makeSegment writes groups of bodies; each group is durable when the next is written.
func makeSegment(number uint32, groups ...[]int) testSegment {
	s := testSegment{bytes: head{number: number, salt: testSalt}.marshal()}
	rng := rand.NewChaCha8([32]byte{1})
	for _, sizes := range groups {
		durable := len(s.bytes)
		for _, size := range sizes {
			body := make([]byte, size)
			_, _ = rng.Read(body)
			h := header{bodySum: checksum(body), length: uint32(size), durable: uint32(durable), kind: kindBlob}
			at := len(s.bytes)
			s.bytes = append(s.bytes, make([]byte, h.size())...)
			h.put(s.bytes[at:], testSalt, position{number, uint32(at)})
			copy(s.bytes[at+headerSize:], body)
			s.records = append(s.records, span{int64(at), int64(len(s.bytes))})
		}
	}
	return s
}

func (s testSegment) walk(t *testing.T) recovery {
	t.Helper()
	r, err := walk(bytes.NewReader(s.bytes), int64(len(s.bytes)), 7, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWalk damages a segment in every kind of place. Four groups: records 0; 1, 2, 3; 4; 5, 6.
func TestWalk(t *testing.T) {
	whole := makeSegment(7, []int{100}, []int{4096, 0, 33}, []int{70000}, []int{5, 6})
	at := func(record int) int64 { return whole.records[record].from }
	end := func(record int) int64 { return whole.records[record].to }
	flip := func(offset int64) func([]byte) []byte {
		return func(b []byte) []byte { b[offset] ^= 0x40; return b }
	}
	cut := func(offset int64) func([]byte) []byte { return func(b []byte) []byte { return b[:offset] } }
	blank := func(from, to int64) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:to]); return b }
	}
	cases := []struct {
		name    string
		harm    func([]byte) []byte
		records int
		end     int64
		damage  []span
	}{
		{"none", func(b []byte) []byte { return b }, 7, end(6), nil},
		{"zeros behind", func(b []byte) []byte { return append(b, make([]byte, 3<<20)...) }, 7, end(6), nil},
		{"rubbish behind", func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xa5}, 5000)...) }, 7, end(6), nil},
		{"cut to nothing", cut(0), 0, headSize, nil},
		{"cut in the head", cut(20), 0, headSize, nil},
		{"cut behind the head", cut(headSize), 0, headSize, nil},
		{"cut in the first header", cut(at(0) + 8), 0, headSize, nil},
		{"cut in the last header", cut(at(6) + 31), 6, end(5), nil},
		{"cut in the last body", cut(at(6) + 35), 6, end(5), nil},
		{"cut in the last padding", cut(end(6) - 1), 6, end(5), nil},
		{"cut in the last group's first body", cut(at(5) + 33), 5, end(4), nil},
		{"flip in the last header", flip(at(6) + 9), 6, end(5), nil},
		{"flip in the last body", flip(at(6) + 34), 6, end(5), nil},
		{"hole in the last group", flip(at(5) + 34), 6, end(6), nil},
		{"hole for a header in the last group", blank(at(5), end(5)), 6, end(6), nil},
		{"flip in a padding", flip(end(6) - 1), 7, end(6), nil},
		{"flip in a durable body", flip(at(1) + 999), 6, end(6), []span{whole.records[1]}},
		{"flip in a durable header", flip(at(1) + 3), 6, end(6), []span{whole.records[1]}},
		{"flip in the first record's length", flip(at(0) + 10), 6, end(6), []span{whole.records[0]}},
		{"flip in the body before the last group", flip(at(4) + 69000), 6, end(6), []span{whole.records[4]}},
		{"durable records wiped", blank(at(1), end(3)), 4, end(6), []span{{at(1), end(3)}}},
		{"two places", func(b []byte) []byte { b[at(0)+40]++; b[at(4)+40]++; return b }, 5, end(6), []span{whole.records[0], whole.records[4]}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSegment{bytes: c.harm(bytes.Clone(whole.bytes))}
			r := s.walk(t)
			if r.records != c.records || r.end != c.end || !slices.Equal(r.damage, c.damage) {
				t.Errorf("got %d records to %d, damage %v; want %d to %d, %v", r.records, r.end, r.damage, c.records, c.end, c.damage)
			}
		})
	}
}

// TestWalkIgnoresForgeries: a record copied to another place, or from another segment or store, is none.
func TestWalkIgnoresForgeries(t *testing.T) {
	inner := makeSegment(7, []int{10}).bytes[headSize:]
	for name, s := range map[string]testSegment{
		"other place":   {bytes: append(makeSegment(7, []int{64}).bytes, inner...)},
		"other segment": {bytes: append(makeSegment(7).bytes, makeSegment(8, []int{10}).bytes[headSize:]...)},
	} {
		want := 0
		if name == "other place" {
			want = 1
		}
		if r := s.walk(t); r.records != want {
			t.Errorf("%s: %d records, want %d", name, r.records, want)
		}
	}
	s := makeSegment(7, []int{10})
	if r, err := walk(bytes.NewReader(s.bytes), int64(len(s.bytes)), 7, testSalt+1); err != nil || r.records != 0 {
		t.Errorf("another store's segment: %d records, %v", r.records, err)
	}
}

func TestHead(t *testing.T) {
	b := head{number: 3, salt: testSalt, seal: &seal{end: 1000, damaged: 8}}.marshal()
	h, ok, err := parseHead(b, 3)
	if err != nil || !ok || h.salt != testSalt || h.seal == nil || *h.seal != (seal{1000, 8}) {
		t.Errorf("got %+v, %v, %v", h, ok, err)
	}
	if _, ok, err := parseHead(b, 4); ok || err != nil {
		t.Errorf("the head of another segment: %v, %v", ok, err)
	}
	newer := head{number: 3}.marshal()
	binary.LittleEndian.PutUint32(newer[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(newer[24:], checksum(newer[:24]))
	if _, _, err := parseHead(newer, 3); err == nil {
		t.Error("a newer format was not refused")
	}
	for i := range 32 {
		torn := bytes.Clone(b)
		torn[32+i] ^= 1
		if h, ok, err := parseHead(torn, 3); err != nil || !ok || h.seal != nil && i < 28 {
			t.Errorf("torn seal at %d: %+v, %v, %v", i, h.seal, ok, err)
		}
	}
}

func TestBlobID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := position{rapid.Uint32Min(1).Draw(t, "segment"), rapid.Uint32().Draw(t, "offset")}
		size := rapid.Int64Range(0, maxBlob).Draw(t, "size")
		h := header{bodySum: rapid.Uint32().Draw(t, "sum"), kind: rapid.SampledFrom([]recordKind{kindBlob, kindIndex}).Draw(t, "kind")}
		id := newBlobID(at, size, h)
		if id.position() != at || id.size() != size || id.isIndex() != (h.kind == kindIndex) || id.check() != checkBits(h) || id.IsZero() {
			t.Errorf("%v of %d: got %v of %d", at, size, id.position(), id.size())
		}
	})
}

// FuzzWalk: whatever is in a file, the walk ends, stays within it, and counts only whole records.
func FuzzWalk(f *testing.F) {
	s := makeSegment(7, []int{20}, []int{100, 0}, []int{9})
	f.Add(s.bytes, uint16(0), byte(0))
	f.Add(s.bytes, uint16(70), byte(1))
	f.Add(s.bytes[:len(s.bytes)-5], uint16(300), byte(0xff))
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add(bytes.Repeat([]byte{0xff}, 500), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, where uint16, harm byte) {
		b = bytes.Clone(b)
		if len(b) > 0 {
			b[int(where)%len(b)] ^= harm
		}
		r, err := walk(bytes.NewReader(b), int64(len(b)), 7, testSalt)
		if err != nil {
			t.Fatalf("walking %x: %v", b, err)
		}
		if r.end > max(headSize, int64(len(b))) || int64(r.records)*headerSize > int64(len(b)) {
			t.Fatalf("walking %x: %+v", b, r)
		}
		last := int64(headSize)
		for _, s := range r.damage {
			if s.from < last || s.to <= s.from || s.to > int64(len(b)) {
				t.Fatalf("walking %x: damage %v", b, r.damage)
			}
			last = s.to
		}
	})
}

// failingReader fails at its nth read.
type failingReader struct {
	*bytes.Reader
	left int
}

var errTest = errors.New("test")

func (r *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if r.left--; r.left < 0 {
		return 0, errTest
	}
	return r.Reader.ReadAt(p, off)
}

func TestWalkReadError(t *testing.T) {
	s := makeSegment(7, []int{3 << 20}, []int{3 << 20})
	for n := range 6 {
		r := &failingReader{bytes.NewReader(s.bytes), n}
		if _, err := walk(r, r.Size(), 7, testSalt); !errors.Is(err, errTest) {
			t.Errorf("read %d failed, but walk returned %v", n, err)
		}
	}
}
