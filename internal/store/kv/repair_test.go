package kv

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestRepairEnds: a repair that cannot keep what it takes out ends there, and does not look at all the rest first.
func TestRepairEnds(t *testing.T) {
	e := openOn(t, vfs.NewMem())
	defer mustClose(t, e)
	full := errors.New("no room for what is lost and found")
	const rows = 10 * progressRows
	looked, mended := 0, 0
	_, err := e.Repair(t.Context(), RepairOptions{Save: func(Finding) error { return full }}, func(v *Verification) error {
		v.Report(Finding{ID: "a", Wreck: &Wreck{}, Mend: func(Tx) error { mended++; return nil }})
		for ; looked < rows; looked++ {
			if err := v.Row(); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, full) || mended != 0 || looked == rows {
		t.Errorf("%v; %d mended, looked at %d rows of %d", err, mended, looked, rows)
	}
}
