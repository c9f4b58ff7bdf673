// Package backup keeps states of a data folder, each called a point, in a repository: a folder of objects, which
// are pieces of files named by their SHA-256, and of one manifest per point. What several points share is there
// once. An object or manifest that has its name is whole and durable, and is never changed: so an Add that is
// killed leaves nothing but objects, which the next Add finds and uses.
//
// One process adds or prunes at a time; any number read meanwhile when nobody does.
package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The folder of a repository.
//
//	candor-backup               says what the folder is; the lock
//	points/TIME.json            manifests
//	objects/ab/SUM              objects; ab are the first two digits of the sum
//	tmp/                        what is being written
const (
	markName    = "candor-backup"
	pointsDir   = "points"
	objectsDir  = "objects"
	tmpDir      = "tmp"
	markText    = "Candor backup repository, format "
	format      = 1
	pointSuffix = ".json"
)

// ErrInUse is returned when another process has the repository open in a way that excludes this one.
var ErrInUse = errors.New("backup: another candor has the repository open")

// Repository is an open repository. Its methods are not to be called concurrently.
type Repository struct {
	dir   string
	lock  *os.File
	dirty map[string]bool // folders with new names that are not durable yet
}

// Open opens a repository for reading.
func Open(dir string) (*Repository, error) { return open(dir, unix.LOCK_SH) }

// OpenWriting opens a repository that exists for Add or Prune.
func OpenWriting(dir string) (*Repository, error) {
	r, err := open(dir, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	// What a process that was killed had begun.
	err = os.RemoveAll(r.path(tmpDir))
	for _, name := range []string{pointsDir, objectsDir, tmpDir} {
		err = errors.Join(err, os.MkdirAll(r.path(name), 0o700))
	}
	if err = errors.Join(err, syncDir(dir)); err != nil {
		return nil, errors.Join(r.explain(err), r.Close())
	}
	return r, nil
}

// Create is OpenWriting, and makes the repository in a folder that is absent or empty.
func Create(dir string) (*Repository, error) {
	if _, err := os.Stat(filepath.Join(dir, markName)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return OpenWriting(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the backup repository: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is neither a backup repository nor empty (it holds %s): name another folder", dir, entries[0].Name())
	}
	if err := writeFile(filepath.Join(dir, markName), fmt.Appendf(nil, "%s%d\n", markText, format), 0o600); err != nil {
		return nil, fmt.Errorf("making the backup repository: %w", err)
	}
	if err := errors.Join(syncDir(dir), syncDir(filepath.Dir(filepath.Clean(dir)))); err != nil {
		return nil, err
	}
	return OpenWriting(dir)
}

func open(dir string, how int) (*Repository, error) {
	mark, err := os.Open(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no backup repository: 'candor backup --to' makes one", dir)
	}
	if err != nil {
		return nil, err
	}
	r := &Repository{dir: dir, lock: mark, dirty: map[string]bool{}}
	if err := r.begin(how); err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	return r, nil
}

// begin takes the lock and looks at the format.
func (r *Repository) begin(how int) error {
	err := unix.Flock(int(r.lock.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w: wait until its backup, check or restore has ended", r.dir, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", r.dir, err)
	}
	text, err := io.ReadAll(io.LimitReader(r.lock, 100))
	if err != nil {
		return err
	}
	var v int
	if _, err := fmt.Sscanf(string(text), markText+"%d\n", &v); err != nil {
		return fmt.Errorf("%s is damaged: it should say %q", r.path(markName), fmt.Sprint(markText, format))
	}
	if v > format {
		return fmt.Errorf("%s has format %d, this candor knows up to %d: run the newer one", r.dir, v, format)
	}
	return nil
}

// Close lets go of the repository.
func (r *Repository) Close() error { return r.lock.Close() }

func (r *Repository) path(names ...string) string {
	return filepath.Join(append([]string{r.dir}, names...)...)
}

// explain tells what to do about an error while writing.
func (r *Repository) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no room in %s: make some, with --prune and --keep for one, and run the same again; what has been copied stays (%w)", r.dir, err)
	}
	return err
}

// syncDirty makes the new names durable.
func (r *Repository) syncDirty() error {
	for dir := range r.dirty {
		if err := syncDir(dir); err != nil {
			return err
		}
		delete(r.dirty, dir)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeFile writes a whole file durably; its name is not durable yet.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// place writes a whole file durably under a name that appears only when it is complete.
func (r *Repository) place(b []byte, names ...string) error {
	tmp, path := r.path(tmpDir, strings.Join(names, "-")), r.path(names...)
	if err := writeFile(tmp, b, 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	r.dirty[filepath.Dir(path)] = true
	return nil
}
