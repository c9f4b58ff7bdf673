package directory

import "testing"

// TestNote: a note is there as it was set last, also after the directory was opened again; it is no finding.
func TestNote(t *testing.T) {
	db := newMemDB()
	d := open(t, db, Options{Cost: cheap})
	if got, err := d.Note(t.Context(), "x"); err != nil || got != nil {
		t.Errorf("at first: %q, %v", got, err)
	}
	must(t, d.SetNote(t.Context(), "x", []byte("one")))
	must(t, d.SetNote(t.Context(), "x", []byte("two")))
	d.Close()
	d = open(t, db, Options{Cost: cheap})
	if got, err := d.Note(t.Context(), "x"); err != nil || string(got) != "two" {
		t.Errorf("got %q, %v", got, err)
	}
}
