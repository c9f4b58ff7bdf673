package kv

import "context"

// Options configures the embedded engine.
type Options struct {
	Dir string // made if it is absent
}

// Open opens the embedded engine in o.Dir. Errors: an explanation when another process has it open
// (errors.Is ErrLocked), or when its format is newer than this program.
func Open(ctx context.Context, o Options) (DB, error) { panic("not built yet") }
