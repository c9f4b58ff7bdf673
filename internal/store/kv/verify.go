package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// VerifyOptions says how to verify.
type VerifyOptions struct {
	Quick bool // rows only: no body is read
	// Report is called for each finding, one at a time.
	Report func(Finding)
	// Progress is called now and then: how much of what is done, of how much; a total of 0 is not known.
	Progress func(phase Phase, done, total int64)
}

// Phase is a part of the work.
type Phase string

// The phases in their order.
const (
	PhaseBodies Phase = "bodies" // counted in octets
	PhaseRows   Phase = "rows"
)

// Verified sums up what was looked at.
type Verified struct {
	Quick    bool  `json:"quick"`
	Rows     int64 `json:"rows"`
	Blobs    int64 `json:"blobs"`    // linked
	Octets   int64 `json:"octets"`   // of these blobs
	Segments int64 `json:"segments"` // files
	Errors   int64 `json:"errors"`
	Warnings int64 `json:"warnings"`
	Notes    int64 `json:"notes"`
}

// Clean reports whether nothing needs to be done.
func (v Verified) Clean() bool { return v.Errors == 0 && v.Warnings == 0 }

// Verification looks at a store as it was at one moment.
type Verification struct {
	Reader
	Quick bool

	ctx    context.Context
	engine *Engine
	o      VerifyOptions
	sum    Verified
}

// ErrLater is returned by a Mend that has to wait until something else has been mended.
var ErrLater = errors.New("kv: something else must be mended first")

// Verify calls f with a snapshot of the store. No segment is removed until it returns. What f finds it reports;
// its error means that the verification could not be made.
func (e *Engine) Verify(ctx context.Context, o VerifyOptions, f func(*Verification) error) (Verified, error) {
	defer e.Hold()()
	var sum Verified
	err := e.View(ctx, func(r Reader) error {
		v := &Verification{Reader: r, Quick: o.Quick, ctx: ctx, engine: e, o: o, sum: Verified{Quick: o.Quick}}
		err := f(v)
		sum = v.sum
		return err
	})
	return sum, err
}

// Report reports a finding.
func (v *Verification) Report(f Finding) {
	switch f.Severity {
	case SeverityError:
		v.sum.Errors++
	case SeverityWarning:
		v.sum.Warnings++
	default:
		v.sum.Notes++
	}
	if v.o.Report != nil {
		v.o.Report(f)
	}
}

// progressRows is how many rows are looked at between two calls of Progress.
const progressRows = 1000

// Row counts a row that is looked at. Errors: those of the context.
func (v *Verification) Row() error {
	v.sum.Rows++
	if v.sum.Rows%progressRows != 0 {
		return nil
	}
	v.progress(PhaseRows, v.sum.Rows, 0)
	return v.ctx.Err()
}

func (v *Verification) progress(p Phase, done, total int64) {
	if v.o.Progress != nil {
		v.o.Progress(p, done, total)
	}
}

// Has reports whether there is a row.
func (v *Verification) Has(key []byte) (bool, error) { return has(v, key) }

// Linked reports whether owner links blob id.
func (v *Verification) Linked(id BlobID, owner []byte) (bool, error) {
	return has(v, linkKey(id, owner))
}

func has(r Reader, key []byte) (bool, error) {
	_, err := r.Get(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Open opens a blob.
func (v *Verification) Open(id BlobID) (Blob, error) { return v.engine.OpenBlob(v.ctx, id) }

// Keys reports the keys that belong to nobody, given the first octets of those that do beside kv's own.
func (v *Verification) Keys(prefixes ...byte) error {
	known := append([]byte{linkPrefix[0]}, prefixes...)
	slices.Sort(known)
	from := []byte{0}
	for _, p := range known {
		if err := v.strays(from, []byte{p}); err != nil {
			return err
		}
		from = []byte{p + 1}
	}
	if err := v.strays(from, nil); err != nil {
		return err
	}
	return v.ownKeys()
}

// ownKeys looks at kv's own rows. Links come in their own turn.
func (v *Verification) ownKeys() error {
	from := []byte{linkPrefix[0]}
	for _, k := range []struct {
		prefix []byte
		check  func(Pair)
	}{{abandonedPrefix, v.abandonedRow}, {formatKey, nil}, {linkPrefix, nil}, {movedPrefix, v.movedRow}} {
		if err := v.strays(from, k.prefix); err != nil {
			return err
		}
		from = PrefixEnd(k.prefix)
		if k.check == nil {
			continue
		}
		for p, err := range v.Scan(k.prefix, from) {
			if err == nil {
				err = v.Row()
			}
			if err != nil {
				return err
			}
			k.check(p)
		}
	}
	return v.strays(from, []byte{linkPrefix[0] + 1})
}

// abandonedRow checks how far a segment that was given up may be trusted.
func (v *Verification) abandonedRow(p Pair) {
	_, ok := abandonedNumber(p.Key)
	if _, err := parseOffset(p.Value); err != nil || !ok {
		v.Stray(p.Key)
	}
}

// movedRow checks where the collector has moved a blob. What cannot be read is of no use, even when it is the only
// way to the blob: then Links tells of that.
func (v *Verification) movedRow(p Pair) {
	if _, err := parsePlace(p.Value); err != nil || len(p.Key) != len(movedPrefix)+len(BlobID{}) {
		v.Stray(p.Key)
	}
}

func (v *Verification) strays(from, to []byte) error {
	for p, err := range v.Scan(from, to) {
		if err != nil {
			return err
		}
		if err := v.Row(); err != nil {
			return err
		}
		v.Stray(p.Key)
	}
	return nil
}

// Stray reports a row of no known kind.
func (v *Verification) Stray(key []byte) {
	key = slices.Clone(key)
	v.Report(Finding{
		ID: "row-unknown", Severity: SeverityWarning, Place: fmt.Sprintf("row %q", key),
		Seen: "a key of no known kind", Wanted: "none", Fix: "repair moves the row to lost+found",
		Mend: func(tx Tx) error { tx.Delete(key); return nil },
	})
}

// parseLinkKey takes a link apart; the parts are shared with the key.
func parseLinkKey(key []byte) (id BlobID, owner []byte, ok bool) {
	rest := key[len(linkPrefix):]
	if len(rest) <= len(id) {
		return id, nil, false
	}
	copy(id[:], rest)
	return id, rest[len(id):], true
}
