package kv

import (
	"context"
	"errors"
	"fmt"
)

// RepairOptions says how to repair.
type RepairOptions struct {
	VerifyOptions
	// Save keeps the wreck of a finding before its Mend.
	Save func(Finding) error
	// Keep keeps a row that a Mend changes or removes, before it does.
	Keep func(f Finding, key, value []byte) error
	// Mended is called after a Mend, with its error: an ErrLater is tried again in the next pass.
	Mended func(Finding, error) error
}

// maxPasses bounds the passes of a repair: what follows from one thing that was mended is found in the next pass.
const maxPasses = 10

// Repair verifies with f and mends what it reports, until a pass has nothing to mend; it returns what is left. Nobody
// else may use the store, not even its collector (Options.CollectInterval). A failure to keep something ends it.
func (e *Engine) Repair(ctx context.Context, o RepairOptions, f func(*Verification) error) (Verified, error) {
	for pass := 1; ; pass++ {
		looking, stop := context.WithCancel(ctx)
		r := &repair{engine: e, ctx: ctx, o: o, stop: stop}
		verify := o.VerifyOptions
		verify.Report = r.found
		sum, err := e.Verify(looking, verify, f)
		stop()
		if r.err != nil {
			return sum, r.err
		}
		if err != nil || r.mended == 0 || pass == maxPasses {
			return sum, err
		}
	}
}

// repair is one pass.
type repair struct {
	engine *Engine
	ctx    context.Context
	o      RepairOptions
	stop   context.CancelFunc // ends the verification
	mended int
	err    error // that ends the repair
}

// found mends what was found.
func (r *repair) found(f Finding) {
	if r.o.Report != nil {
		r.o.Report(f)
	}
	if f.Mend == nil || r.err != nil {
		return
	}
	err := r.mend(f)
	switch {
	case err == nil:
		r.mended++
	case !errors.Is(err, ErrLater):
		r.err = fmt.Errorf("mending %s (%s): %w", f.Place, f.ID, err)
	}
	if r.o.Mended != nil {
		r.err = errors.Join(r.err, r.o.Mended(f, err))
	}
	if r.err != nil {
		r.stop()
	}
}

func (r *repair) mend(f Finding) error {
	if f.Wreck != nil && r.o.Save != nil {
		if err := r.o.Save(f); err != nil {
			return fmt.Errorf("keeping what is left: %w", err)
		}
	}
	return r.engine.Update(r.ctx, func(tx Tx) error {
		k := &keepingTx{Tx: tx, engine: r.engine, finding: f, keep: r.o.Keep}
		return errors.Join(f.Mend(k), k.err)
	})
}

// keepingTx keeps every row that is changed or removed through it.
type keepingTx struct {
	Tx
	engine  *Engine
	finding Finding
	keep    func(f Finding, key, value []byte) error
	err     error
}

func (t *keepingTx) note(key []byte) {
	value, err := t.Tx.Get(key)
	if errors.Is(err, ErrNotFound) || t.keep == nil {
		return
	}
	if err == nil {
		err = t.keep(t.finding, key, value)
	}
	t.err = errors.Join(t.err, err)
}

// Set implements Tx, as do the methods below.
func (t *keepingTx) Set(key, value []byte) {
	t.note(key)
	t.Tx.Set(key, value)
}

// Delete keeps the row.
func (t *keepingTx) Delete(key []byte) {
	t.note(key)
	t.Tx.Delete(key)
}

// DeleteRange keeps the rows.
func (t *keepingTx) DeleteRange(from, to []byte) {
	for p, err := range t.Tx.Scan(from, to) {
		if err == nil && t.keep != nil {
			err = t.keep(t.finding, p.Key, p.Value)
		}
		t.err = errors.Join(t.err, err)
	}
	t.Tx.DeleteRange(from, to)
}

// Link also links a blob that nothing links any more.
func (t *keepingTx) Link(id BlobID, owner []byte) {
	if !t.engine.flights.has(id) {
		t.engine.flights.begin(id, nil)
	}
	t.Tx.Link(id, owner)
}

// Unlink keeps the link.
func (t *keepingTx) Unlink(id BlobID, owner []byte) {
	t.note(linkKey(id, owner))
	t.Tx.Unlink(id, owner)
}
