package queue

import (
	"context"

	"candor/internal/store/kv"
)

// removeOrphans removes items without a recipient. When the last two recipients go at the same time, each of their
// transactions leaves the item to the other; the program may end before the item is removed by itself.
func (q *Queue) removeOrphans(ctx context.Context) error {
	return q.eachID(ctx, func(id ID) error {
		orphan := false
		err := q.db.View(ctx, func(r kv.Reader) (err error) {
			orphan, err = isOrphan(r, id)
			return err
		})
		if err != nil || !orphan {
			return err
		}
		return q.db.Update(ctx, func(tx kv.Tx) error {
			e, err := q.read(tx, id)
			if err != nil {
				q.o.Log.Error("a finished message cannot be read", "id", string(id), "err", err)
				return nil
			}
			e.deleteItem(tx)
			return nil
		})
	})
}

func isOrphan(r kv.Reader, id ID) (bool, error) {
	prefix := recipientPrefix(id)
	for _, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		return false, err
	}
	return true, nil
}
