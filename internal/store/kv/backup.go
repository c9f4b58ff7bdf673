package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Change says how a file of a store changes once it has been part of a Checkpoint.
type Change string

const (
	// ChangeAny: the name may stand for something else in the next checkpoint.
	ChangeAny Change = "any"
	// ChangeNever: as long as the file is there it stays as it is.
	ChangeNever Change = "never"
	// ChangeGrows: as ChangeNever, but that octets are added, and that the first SegmentHead of them change.
	ChangeGrows Change = "grows"
)

// SegmentHead is how many octets at the front of a growing file are written anew when it is complete.
const SegmentHead = headSize

// CheckpointFile is a file of a store.
type CheckpointFile struct {
	Name   string `json:"name"` // in the folder of a store, with slashes: "keys/000012.sst"
	Path   string `json:"path"` // where it can be read, in the folder of the store, with slashes
	Size   int64  `json:"size"` // octets that count; what lies behind them is to be left out
	Change Change `json:"change"`
}

// Checkpoint is the state of a store at one moment as files that can be copied until Release. The copies,
// under their names in an empty folder, are a store that Open opens.
type Checkpoint struct {
	Files   []CheckpointFile `json:"files"`
	Release func() error     `json:"-"` // lets go of the files; it may be called once
}

// asideName is the folder of the keys of checkpoints within the store's folder.
const asideName = "checkpoints"

// openAside removes the checkpoints that a process left behind when it ended.
func (e *Engine) openAside(dir string) error {
	e.disk.aside = e.fs.PathJoin(dir, asideName)
	return e.fs.RemoveAll(e.disk.aside)
}

// Checkpoint returns the state of now, with everything that was acknowledged before the call. Writes go on
// meanwhile. Until Release no segment is removed, and the tables of the keys stay on the disk. The caller sees to
// it that the engine is not closed before Release.
//
// The keys come first and then the segments, and a blob is durable before a transaction names it: so no blob that
// the keys name is missing.
func (e *Engine) Checkpoint(ctx context.Context) (*Checkpoint, error) {
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer e.leave()
	if err := e.failed(); err != nil {
		return nil, err
	}
	c := &Checkpoint{}
	if err := makeDir(e.fs, e.disk.aside); err != nil {
		return nil, fmt.Errorf("making a checkpoint: %w", err)
	}
	name := fmt.Sprint(e.checkpoints.Add(1))
	keys := e.fs.PathJoin(e.disk.aside, name)
	c.Release = releaser(e.Hold(), func() error { return e.fs.RemoveAll(keys) })
	err := e.db.Checkpoint(keys)
	if err == nil {
		err = c.addKeys(e.fs, keys, asideName+"/"+name)
	}
	if err == nil {
		err = c.addSegments(e.fs, e.blobDir, unpack(e.appender.tip.Load()))
	}
	if err == nil {
		err = e.failed() // a store that fails meanwhile has files that it only seemed to write
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a checkpoint: %w", err), c.Release())
	}
	return c, nil
}

// Still returns the state of a store that no process has open. Until Release none can open it. It writes
// nothing. Errors: errors.Is ErrLocked.
func Still(dir string) (*Checkpoint, error) {
	fs := vfs.Default
	keys, blobs := fs.PathJoin(dir, "keys"), fs.PathJoin(dir, "blobs")
	if _, err := fs.Stat(keys); err != nil {
		return nil, err
	}
	lock, err := lockDir(keys, fs)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Release: lock.Close}
	last := position{segment: ^uint32(0)}
	if err := errors.Join(c.addKeys(fs, keys, "keys"), c.addSegments(fs, blobs, last)); err != nil {
		return nil, errors.Join(fmt.Errorf("looking at the store in %s: %w", dir, err), c.Release())
	}
	return c, nil
}

func releaser(release func(), remove func() error) func() error {
	return sync.OnceValue(func() error {
		release()
		return remove()
	})
}

// addKeys adds Pebble's files in dir, which is folder within the store's.
func (c *Checkpoint) addKeys(fs vfs.FS, dir, folder string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		name = fs.PathBase(name)
		if name == "LOCK" || strings.HasSuffix(name, ".dbtmp") {
			continue
		}
		change := ChangeAny
		if !vital(name) {
			change = ChangeNever
		}
		file := CheckpointFile{Name: "keys/" + name, Path: folder + "/" + name, Size: -1, Change: change}
		if err := c.add(fs, fs.PathJoin(dir, name), file); err != nil {
			return err
		}
	}
	return nil
}

// addSegments adds the segments up to tip.
func (c *Checkpoint) addSegments(fs vfs.FS, dir string, tip position) error {
	numbers, err := listSegments(fs, dir)
	if err != nil {
		return err
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		if number > tip.segment {
			return nil // begun after the checkpoint of the keys
		}
		name := "blobs/" + segmentName(number)
		file := CheckpointFile{Name: name, Path: name, Size: -1, Change: ChangeGrows}
		if number == tip.segment {
			file.Size = int64(tip.offset)
		}
		if err := c.add(fs, fs.PathJoin(dir, segmentName(number)), file); err != nil {
			return err
		}
	}
	return nil
}

// add adds the file at path, of which at most f.Size octets count; -1: all.
func (c *Checkpoint) add(fs vfs.FS, path string, f CheckpointFile) error {
	info, err := fs.Stat(path)
	if err != nil {
		return err
	}
	if f.Size < 0 || f.Size > info.Size() {
		f.Size = info.Size()
	}
	c.Files = append(c.Files, f)
	return nil
}

// lockDir takes the lock of a store.
func lockDir(dir string, fs vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil && isLocked(err) {
		return nil, fmt.Errorf("%w: is another candor running? (%w)", ErrLocked, err)
	}
	return lock, err
}
