// Package kv is the store contract: ordered keys in serialisable transactions, and blobs, immutable
// byte strings that are durable before a transaction names them. Open makes the embedded engine.
//
// A key belongs to the package whose prefix it bears: 'd' directory, 'k' kv itself, 'm' mailbox,
// 'q' queue, 'r' relay. No key begins with 0xff. All methods may be called concurrently.
package kv

import (
	"context"
	"errors"
	"io"
	"iter"
)

// DB is a store. Its engines are the embedded one and, later, store/cluster.
type DB interface {
	// View runs f on a snapshot. It returns only after everything that the snapshot showed is
	// durable, so that nothing is told to a client that a crash could take back.
	View(ctx context.Context, f func(Reader) error) error

	// Update runs f in a serialisable transaction and returns after it is durable. f is run again
	// when another transaction got in its way, so it must have no effects but through Tx. An error
	// from f abandons the transaction.
	Update(ctx context.Context, f func(Tx) error) error

	// CreateBlob begins a blob. The caller ends it with Finish or Discard.
	CreateBlob(ctx context.Context) (BlobWriter, error)

	// OpenBlob opens a finished blob. Errors: ErrNotFound.
	OpenBlob(ctx context.Context, id BlobID) (Blob, error)

	// Links returns the owners that link blob id, in the order of their keys.
	Links(ctx context.Context, id BlobID) ([][]byte, error)

	Close() error
}

// Reader reads keys. What it returns is the caller's to keep, but for what Scan yields.
type Reader interface {
	// Get returns the value of key. Errors: ErrNotFound.
	Get(key []byte) ([]byte, error)

	// Scan yields the pairs with from <= key < to in rising order; ScanBack in falling order. Key and
	// value are valid until the next step. The last pair may come with an error. With a nil to there
	// is no upper bound. In a Tx it shows the writes made before it began, not those made during it.
	Scan(from, to []byte) iter.Seq2[Pair, error]
	ScanBack(from, to []byte) iter.Seq2[Pair, error]
}

// Pair is a key with its value.
type Pair struct{ Key, Value []byte }

// Tx reads and writes keys. It sees its own writes. It is not to be used after the function that
// got it has returned, nor concurrently.
type Tx interface {
	Reader

	// Set and Delete adopt key and value, which must not be changed until the transaction has ended.
	Set(key, value []byte)
	Delete(key []byte)

	// DeleteRange deletes every key with from <= key < to; with a nil to, every key from from on.
	DeleteRange(from, to []byte)

	// Link notes that the thing stored under owner needs blob id; Unlink takes that back. A blob
	// that no owner links is garbage. Several owners may link one blob, each once.
	Link(id BlobID, owner []byte)
	Unlink(id BlobID, owner []byte)
}

// BlobID names a blob for ever. The zero value is no blob.
type BlobID [16]byte

// BlobWriter writes one blob by streaming. It is not to be used concurrently.
type BlobWriter interface {
	io.Writer
	// Finish returns the blob's name once its bytes are durable; concurrent calls share one sync.
	Finish() (BlobID, error)
	// Discard gives the blob up. After Finish it does nothing, so it may be deferred.
	Discard()
}

// Blob is an open blob. ReadAt may be called concurrently. Size is in octets.
type Blob interface {
	io.ReaderAt
	io.WriterTo
	Size() int64
	Close() error
}

var (
	// ErrNotFound is returned for a key or blob that does not exist.
	ErrNotFound = errors.New("kv: not found")
	// ErrConflict is returned when a transaction met others too often to go on.
	ErrConflict = errors.New("kv: too many conflicts")
	// ErrCorrupt is returned for stored bytes that fail their checksum.
	ErrCorrupt = errors.New("kv: stored data is damaged")
	// ErrLocked is returned by Open when another process has the store open.
	ErrLocked = errors.New("kv: another process has the store open")
	// ErrMissing is returned by Open when the newest messages are not there: their folder is not mounted, say.
	ErrMissing = errors.New("kv: messages are missing")
	// ErrFailed is returned by every write after a failed sync: what is on disk is then unknown
	// until the store is opened again.
	ErrFailed = errors.New("kv: store has failed and must be opened again")
	// ErrFull is returned by a write for which the disk has no room. The store goes on when there is
	// room again. It comes within a mail.Error with status 4.3.1.
	ErrFull = errors.New("kv: the disk is full")
	// ErrBusy is returned for a transaction for which the disk was too slow for a while. It comes within a mail.Error with
	// status 4.3.1.
	ErrBusy = errors.New("kv: the store is busy")
	// ErrTooBig is returned for a transaction that writes more than Options.MaxTx; nothing of it is done. It comes within a
	// mail.Error of kind TooMany.
	ErrTooBig = errors.New("kv: transaction is too big")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("kv: store is closed")
)

// PrefixEnd returns the least key greater than every key that begins with p; nil when there is none.
func PrefixEnd(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
