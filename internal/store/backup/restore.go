package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Restore writes the files of p into dir, each verified, complete and durable before it gets its name. Place says
// where a file goes, with slashes, and "" that it is left out. A file that is there already with the right content
// stays: so a Restore that was killed can be run again. Options.Held is not asked.
func (r *Repository) Restore(ctx context.Context, p *Point, dir string, place func(name string) string, o Options) error {
	dir = filepath.Clean(dir)
	w := &restoring{ctx: ctx, repository: r, options: o, buffer: make([]byte, MaxPiece), dirs: map[string]bool{}}
	for _, f := range p.Files {
		name := place(f.Name)
		if name == "" {
			continue
		}
		if !fs.ValidPath(name) || name == "." {
			return fmt.Errorf("%w: point %s has a file named %q", ErrDamaged, p.Name, f.Name)
		}
		if err := w.restore(f, filepath.Join(dir, filepath.FromSlash(name)), dir); err != nil {
			return fmt.Errorf("restoring %s of %s: %w", f.Name, p.Name, err)
		}
	}
	for d := range w.dirs {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// Read returns a file of p. It is for small ones.
func (r *Repository) Read(p *Point, name string) ([]byte, error) {
	for _, f := range p.Files {
		if f.Name != name {
			continue
		}
		var b []byte
		for _, piece := range f.Pieces {
			more, err := r.get(piece, nil)
			if err != nil {
				return nil, err
			}
			b = append(b, more...)
		}
		return b, nil
	}
	return nil, fmt.Errorf("point %s has no file %s", p.Name, name)
}

// restoring is a Restore under way.
type restoring struct {
	ctx        context.Context
	repository *Repository
	options    Options
	buffer     []byte
	dirs       map[string]bool // that got new names
}

func (w *restoring) restore(e Entry, path, root string) error {
	if err := w.makeDir(filepath.Dir(path), root); err != nil {
		return err
	}
	w.dirs[filepath.Dir(path)] = true // also for a name that a Restore that was killed has left
	if same(e, path, w.buffer) {
		w.progress(e.Size)
		return nil
	}
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = w.fill(file, e)
	if err == nil {
		err = errors.Join(file.Chmod(e.Mode), file.Sync())
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// fill writes the pieces of a file.
func (w *restoring) fill(file io.Writer, e Entry) error {
	for _, p := range e.Pieces {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if w.options.Throttle != nil {
			if err := w.options.Throttle(w.ctx, int(p.Size)); err != nil {
				return err
			}
		}
		b, err := w.repository.get(p, w.buffer)
		if err != nil {
			return err
		}
		if _, err := file.Write(b); err != nil {
			return err
		}
		w.progress(p.Size)
	}
	return nil
}

func (w *restoring) progress(n int64) {
	if w.options.Progress != nil {
		w.options.Progress(n)
	}
}

// makeDir makes the folders below root that are missing.
func (w *restoring) makeDir(dir, root string) error {
	if dir == root || w.dirs[dir] {
		return nil
	}
	if err := w.makeDir(filepath.Dir(dir), root); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	w.dirs[filepath.Dir(dir)] = true
	return nil
}

// same tells whether the file at path has the content of e.
func same(e Entry, path string, buffer []byte) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != e.Size || info.Mode().Perm() != e.Mode {
		return false
	}
	for _, p := range e.Pieces {
		if p.Size < 0 || p.Size > int64(len(buffer)) {
			return false
		}
		if _, err := io.ReadFull(file, buffer[:p.Size]); err != nil || sha256.Sum256(buffer[:p.Size]) != p.Sum {
			return false
		}
	}
	return true
}
