package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system that Pebble works on. After a failed write or sync of its log, manifest
// or directory Pebble ends the process, for it cannot know what is on disk. A mail server would
// rather refuse: disk tells Pebble that all is well, marks the store as failed, so that nothing is
// acknowledged any more, and from then on changes nothing, so that what is on disk stays as it was
// at the failure. Opening the store again sorts it out.
type disk struct {
	vfs.FS
	log      *slog.Logger
	patience time.Duration // how long to wait for room in a full disk
	hang     time.Duration // how long one write or sync may take
	full     func()        // called when a table meets a full disk
	closing  chan struct{} // closed by Close, which then awaits Pebble's background work
	aside    string        // folder of checkpoints: a failure there is no failure of the store
	logs     logs

	broken chan struct{} // closed when the store has failed

	mu    sync.Mutex
	cause error
}

func newDisk(fs vfs.FS, log *slog.Logger) *disk {
	return &disk{FS: fs, log: log, patience: 10 * time.Second, hang: stallPatience, closing: make(chan struct{}), broken: make(chan struct{})}
}

// fail marks the store as failed. The first cause counts.
func (d *disk) fail(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cause != nil {
		return
	}
	d.cause = cause
	close(d.broken)
	d.log.Error("the store has failed and refuses writes until candor is started again", "err", cause)
}

// failed returns ErrFailed with its cause, or nil.
func (d *disk) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFailed, d.cause)
}

// watch marks the store as failed when stop is not called in time: a disk that answers no more would else let everybody
// wait for ever.
func (d *disk) watch(name string) (stop func() bool) {
	return time.AfterFunc(d.hang, func() {
		d.fail(fmt.Errorf("%s: the disk has not answered for %v", filepath.Base(name), d.hang))
	}).Stop
}

// vital tells the files whose failure Pebble does not survive from tables, which it writes again.
func vital(name string) bool {
	return !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".blob")
}

// change makes one change to the disk. When the store has failed it does nothing.
func (d *disk) change(name string, f func() error) error {
	if d.failed() != nil {
		return d.skip(name)
	}
	stop := d.watch(name)
	err := f()
	stop()
	if err != nil && vital(name) {
		err = d.persist(err, f)
	}
	if err == nil {
		return nil
	}
	if !vital(name) {
		if errors.Is(err, syscall.ENOSPC) {
			d.full()
		}
		d.pause()
		return err
	}
	d.fail(fmt.Errorf("%s: %w", filepath.Base(name), err))
	return nil
}

// persist repeats f as long as the disk is full: transactions are refused well before that, so
// somebody else has filled it.
func (d *disk) persist(err error, f func() error) error {
	deadline := time.Now().Add(d.patience)
	for errors.Is(err, syscall.ENOSPC) && time.Now().Before(deadline) && d.pause() {
		err = f()
	}
	return err
}

// skip stands for a change after the failure. A table cannot be passed over, since Pebble would
// read it: it has to wait until Close.
func (d *disk) skip(name string) error {
	if vital(name) {
		return nil
	}
	<-d.closing
	return d.failed()
}

// pause keeps Pebble from trying again at once. It returns false when the store closes.
func (d *disk) pause() bool {
	select {
	case <-time.After(min(d.patience, 100*time.Millisecond)):
		return true
	case <-d.closing:
		return false
	}
}

// isAside tells whether name belongs to a checkpoint.
func (d *disk) isAside(name string) bool {
	return d.aside != "" && strings.HasPrefix(name, d.aside)
}

// open makes a file for writing. When the store has failed it is one that forgets.
func (d *disk) open(name string, f func() (vfs.File, error)) (vfs.File, error) {
	if d.isAside(name) {
		return f()
	}
	var file vfs.File
	err := d.change(name, func() (err error) {
		file, err = f()
		return err
	})
	if err != nil {
		return nil, err
	}
	if file == nil {
		return forgetful{}, nil
	}
	made := &diskFile{File: file, disk: d, name: name}
	if isLog(name) {
		return d.logs.add(made)
	}
	return made, nil
}

// Create implements vfs.FS, as do the methods below.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

// OpenReadWrite is also how Pebble makes a file.
func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite overwrites an old log.
func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(newname, func() (vfs.File, error) {
		d.logs.forget(oldname)
		return d.FS.ReuseForWrite(oldname, newname, c)
	})
}

// Open opens a file for reading; a log that has been written to only as far as it was.
func (d *disk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := d.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	return d.logs.limit(name, file), nil
}

// OpenDir opens a directory for syncing.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	file, err := d.FS.OpenDir(name)
	if err != nil || d.isAside(name) {
		return file, err
	}
	return &diskFile{File: file, disk: d, name: name}, nil
}

// Link links.
func (d *disk) Link(oldname, newname string) error {
	if d.isAside(newname) {
		return d.FS.Link(oldname, newname)
	}
	return d.change(newname, func() error { return d.FS.Link(oldname, newname) })
}

// Remove removes. Pebble lives with a failure, unless the disk has failed before: then the file
// must stay, for the manifest on disk may still need it.
func (d *disk) Remove(name string) error {
	if d.failed() != nil && !d.isAside(name) {
		return nil
	}
	d.logs.forget(name)
	return d.FS.Remove(name)
}

// RemoveAll is as Remove.
func (d *disk) RemoveAll(name string) error {
	if d.failed() != nil && !d.isAside(name) {
		return nil
	}
	return d.FS.RemoveAll(name)
}

// Rename renames.
func (d *disk) Rename(oldname, newname string) error {
	if d.isAside(newname) {
		return d.FS.Rename(oldname, newname)
	}
	return d.change(newname, func() error { return d.FS.Rename(oldname, newname) })
}

// Unwrap returns the file system below.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file on a disk.
type diskFile struct {
	vfs.File
	disk *disk
	name string
}

// Write implements vfs.File, as do the methods below. A write that is repeated goes on where it
// stopped.
func (f *diskFile) Write(p []byte) (int, error) {
	written := 0
	err := f.disk.change(f.name, func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	if err != nil {
		return written, err
	}
	return len(p), nil
}

// WriteAt writes at an offset.
func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.disk.change(f.name, func() error {
		_, err := f.File.WriteAt(p, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Preallocate is a wish, which may fail.
func (f *diskFile) Preallocate(offset, length int64) error {
	if f.disk.failed() == nil {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

// Sync syncs. A failed sync is never tried again: the kernel may have dropped what was not written.
func (f *diskFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData syncs what is needed to read the data.
func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo begins to sync a prefix.
func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *diskFile) sync(sync func() error) error {
	if f.disk.failed() != nil {
		return f.disk.skip(f.name)
	}
	stop := f.disk.watch(f.name)
	err := sync()
	stop()
	if err != nil {
		f.disk.fail(fmt.Errorf("syncing %s: %w", filepath.Base(f.name), err))
		return f.disk.skip(f.name)
	}
	return nil
}

// Close closes the file. Everything that counts was synced before.
func (f *diskFile) Close() error {
	err := f.File.Close()
	if vital(f.name) {
		return nil
	}
	return err
}

// forgetful is a file that Pebble makes after the failure.
type forgetful struct{ vfs.File }

func (forgetful) Write(p []byte) (int, error)            { return len(p), nil }
func (forgetful) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (forgetful) Preallocate(_, _ int64) error           { return nil }
func (forgetful) Prefetch(_, _ int64) error              { return nil }
func (forgetful) Sync() error                            { return nil }
func (forgetful) SyncData() error                        { return nil }
func (forgetful) SyncTo(int64) (bool, error)             { return true, nil }
func (forgetful) Fd() uintptr                            { return vfs.InvalidFd }
func (forgetful) Close() error                           { return nil }

// Stat is asked by Pebble of a log that it uses again.
func (forgetful) Stat() (vfs.FileInfo, error) { return forgetfulInfo{}, nil }

type forgetfulInfo struct{ vfs.FileInfo }

func (forgetfulInfo) Size() int64 { return 0 }
