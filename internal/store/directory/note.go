package directory

import (
	"context"
	"errors"

	"candor/internal/store/kv"
)

func noteKey(name string) []byte { return append([]byte("dn"), name...) }

// Note returns what SetNote kept under a name; nil: nothing.
func (d *Directory) Note(ctx context.Context, name string) (value []byte, err error) {
	err = d.db.View(ctx, func(r kv.Reader) error {
		v, err := r.Get(noteKey(name))
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		value = append(value, v...)
		return err
	})
	return value, err
}

// SetNote keeps a small value of another part, such as a count, under a name. Its content is not looked at.
func (d *Directory) SetNote(ctx context.Context, name string, value []byte) error {
	return d.db.Update(ctx, func(tx kv.Tx) error {
		tx.Set(noteKey(name), value)
		return nil
	})
}
