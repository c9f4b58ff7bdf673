package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folder is a data folder of a test: some files that never change, one that grows, and one that is anything.
type folder struct {
	t     *testing.T
	dir   string
	noise *rand.ChaCha8
	files []File
}

const testHead = 64

func newFolder(t *testing.T) *folder {
	return &folder{t: t, dir: t.TempDir(), noise: rand.NewChaCha8([32]byte{1})}
}

func (f *folder) octets(n int) []byte {
	b := make([]byte, n)
	f.noise.Read(b)
	return b
}

// write makes a file of the folder, or another in its place.
func (f *folder) write(name string, change Change, b []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o640)); err != nil {
		f.t.Fatal(err)
	}
	f.files = slices.DeleteFunc(f.files, func(old File) bool { return old.Name == name })
	f.files = append(f.files, File{Name: name, Path: path, Size: -1, Change: change, Head: testHead})
}

// grow adds octets to a file and changes its head.
func (f *folder) grow(name string, n int) {
	f.t.Helper()
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		f.t.Fatal(err)
	}
	_, headErr := file.WriteAt(f.octets(testHead), 0)
	_, bodyErr := file.WriteAt(f.octets(n), info.Size())
	if err := errors.Join(headErr, bodyErr, file.Close()); err != nil {
		f.t.Fatal(err)
	}
}

// content is what the folder holds.
func (f *folder) content() map[string]string {
	f.t.Helper()
	all := map[string]string{}
	for _, file := range f.files {
		b, err := os.ReadFile(file.Path)
		if err != nil {
			f.t.Fatal(err)
		}
		all[file.Name] = string(b)
	}
	return all
}

var clock = time.Date(2026, 11, 21, 22, 28, 54, 0, time.UTC)

// add makes a point, a second after the one before.
func add(t *testing.T, r *Repository, f *folder) Added {
	t.Helper()
	names, err := r.Names()
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Add(t.Context(), clock.Add(time.Duration(len(names))*time.Second), f.files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func create(t *testing.T, dir string) *Repository {
	t.Helper()
	r, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func keepName(name string) string { return name }

// checkRestored restores a point and compares.
func checkRestored(t *testing.T, r *Repository, p *Point, want map[string]string) {
	t.Helper()
	dir := t.TempDir()
	if err := r.Restore(t.Context(), p, dir+"/", keepName, Options{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
		b, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s of %s: %d octets, want %d, or others", name, p.Name, len(got[name]), len(content))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d files, want %d", p.Name, len(got), len(want))
	}
}

// TestPoints: each point gives back the state of its time, and copies only what no point before it has.
func TestPoints(t *testing.T) {
	f := newFolder(t)
	f.write("store/keys/1.sst", Never, f.octets(5<<20))
	f.write("store/keys/1.log", Any, f.octets(1<<20))
	f.write("store/blobs/1.seg", Grows, f.octets(6<<20))
	f.write("empty", Any, nil)
	r := create(t, filepath.Join(t.TempDir(), "new", "repository"))
	var points []*Point
	var contents []map[string]string
	step := func(name string, change func(), copied int64) {
		t.Helper()
		change()
		a := add(t, r, f)
		if a.Copied != copied {
			t.Errorf("%s: %d octets were copied, want %d", name, a.Copied, copied)
		}
		points = append(points, a.Point)
		contents = append(contents, f.content())
	}
	step("first", func() {}, 12<<20)
	step("nothing new", func() {}, 0)
	step("a segment grew", func() { f.grow("store/blobs/1.seg", 1000) }, 1000+testHead)
	step("and again", func() { f.grow("store/blobs/1.seg", 3<<20) }, 3<<20+testHead)
	step("a log grew", func() {
		f.write("store/keys/1.log", Any, append([]byte(f.content()["store/keys/1.log"]), f.octets(100)...))
	}, 100)
	step("a log changed in the middle", func() {
		b := []byte(f.content()["store/keys/1.log"])
		b[300<<10]++
		f.write("store/keys/1.log", Any, b)
	}, finePiece)
	step("a table came", func() { f.write("store/keys/2.sst", Never, f.octets(700)) }, 700)
	step("a table with an old name", func() {
		if err := os.Remove(filepath.Join(f.dir, "store/keys/1.sst")); err != nil {
			t.Fatal(err)
		}
		f.write("store/keys/1.sst", Never, f.octets(800))
	}, 800)
	for i, p := range points {
		read, err := r.Point(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		checkRestored(t, r, read, contents[i])
	}
	if p, err := r.At(points[2].Time.Add(900 * time.Millisecond)); err != nil || p.Name != points[2].Name {
		t.Errorf("the point at a time after the third: %v, %v", p, err)
	}
	if _, err := r.At(points[0].Time.Add(-time.Second)); err == nil || !strings.Contains(err.Error(), points[0].Name) {
		t.Errorf("a time before the first: %v", err)
	}
	if c, err := r.Check(t.Context(), func(int64) {}, func(int64) {}); err != nil || len(c.Damage) > 0 || c.Points != len(points) {
		t.Errorf("check: %+v, %v", c, err)
	}
	if _, err := r.Add(t.Context(), points[0].Time, f.files, Options{}); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("a point in the past: %v", err)
	}
}

// TestManySmallPieces: a file that grows little from point to point is not kept in ever more pieces.
func TestManySmallPieces(t *testing.T) {
	f := newFolder(t)
	f.write("1.seg", Grows, f.octets(5<<20))
	r := create(t, t.TempDir())
	for range 3 * maxParts {
		p := add(t, r, f).Point
		if n := len(p.Files[0].Pieces); n > 3+maxParts {
			t.Fatalf("%d pieces", n)
		}
		f.grow("1.seg", 100)
	}
	want := f.content()
	checkRestored(t, r, add(t, r, f).Point, want)
}

// TestPrune: the oldest points go, with what only they need; the others stay whole.
func TestPrune(t *testing.T) {
	f := newFolder(t)
	f.write("1.sst", Never, f.octets(1000))
	f.write("2.sst", Never, f.octets(2000))
	r := create(t, t.TempDir())
	add(t, r, f)
	f.write("1.sst", Never, f.octets(1100))
	add(t, r, f)
	f.write("1.sst", Never, f.octets(1200))
	want := f.content()
	last := add(t, r, f).Point
	if _, _, err := r.put(f.octets(50)); err != nil { // as an Add that was killed leaves
		t.Fatal(err)
	}
	done, err := r.Prune(t.Context(), 0)
	if err != nil || len(done.Points) != 0 || done.Freed != 50 {
		t.Errorf("without a number: %+v, %v", done, err)
	}
	done, err = r.Prune(t.Context(), 1)
	if err != nil || len(done.Points) != 2 || done.Objects != 2 || done.Freed != 2100 {
		t.Errorf("all but one: %+v, %v", done, err)
	}
	if names, err := r.Names(); err != nil || !slices.Equal(names, []string{last.Name}) {
		t.Errorf("left: %v, %v", names, err)
	}
	checkRestored(t, r, last, want)

	path := r.path(pointsDir, last.Name+pointSuffix)
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := r.Prune(t.Context(), 1); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || done.Objects > 0 {
		t.Errorf("with a damaged manifest: %+v, %v", done, err)
	}
}

// TestInterrupted: an Add that ends at any step leaves the points that there were, and the next one copies only what
// is missing.
func TestInterrupted(t *testing.T) {
	f := newFolder(t)
	dir := t.TempDir()
	r := create(t, dir)
	f.write("0.sst", Never, f.octets(100))
	first := add(t, r, f).Point
	want := f.content()
	const files = 6
	for n := range files {
		f.write(fmt.Sprintf("%d.sst", n+1), Never, f.octets(1000))
	}
	stop := errors.New("stopped")
	for n := range files {
		pieces := 0
		_, err := r.Add(t.Context(), clock.Add(time.Hour), f.files, Options{Throttle: func(context.Context, int) error {
			if pieces++; pieces > n {
				return stop
			}
			return nil
		}})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(t.Context(), clock.Add(time.Hour), f.files, Options{Held: func() error { return stop }}); !errors.Is(err, stop) {
		t.Fatalf("files that may have changed: %v", err)
	}
	if names, err := r.Names(); err != nil || len(names) != 1 {
		t.Fatalf("points: %v, %v", names, err)
	}
	checkRestored(t, r, first, want)
	if err := os.WriteFile(r.path(tmpDir, "torn"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = create(t, dir)
	if left, err := os.ReadDir(r.path(tmpDir)); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
	a := add(t, r, f)
	if a.Copied != 0 || a.Objects != 0 {
		t.Errorf("%d octets were copied again", a.Copied)
	}
	checkRestored(t, r, a.Point, f.content())
}

// TestRestoreAgain: a restore that ended in between is completed by another, which writes only what is missing or wrong.
func TestRestoreAgain(t *testing.T) {
	f := newFolder(t)
	for n := range 4 {
		f.write(fmt.Sprintf("d/%d.sst", n), Never, f.octets(1000))
	}
	r := create(t, t.TempDir())
	p := add(t, r, f).Point
	dir := t.TempDir()
	stop := errors.New("stopped")
	pieces := 0
	err := r.Restore(t.Context(), p, dir, keepName, Options{Throttle: func(context.Context, int) error {
		if pieces++; pieces == 3 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d/0.sst"), make([]byte, 1000), 0o640); err != nil {
		t.Fatal(err)
	}
	pieces = 0
	count := func(context.Context, int) error { pieces++; return nil }
	if err := r.Restore(t.Context(), p, dir, keepName, Options{Throttle: count}); err != nil || pieces != 3 {
		t.Errorf("%d pieces were written again, want 3: %v", pieces, err)
	}
	for name, want := range f.content() {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is wrong, %v", name, err)
		}
	}
}

// TestDamage: what is damaged is named with the points and the places it spoils, and is never restored.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed":   func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("x", 1000)), 0o600) },
		"longer":    func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), MaxPiece+5), 0o600) },
		"cut short": func(path string) error { return os.Truncate(path, 10) },
		"emptied":   func(path string) error { return os.Truncate(path, 0) },
		"missing":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.write("d/1.sst", Never, f.octets(1000))
			r := create(t, t.TempDir())
			p := add(t, r, f).Point
			f.write("d/2.sst", Never, f.octets(1000))
			next := add(t, r, f).Point
			path := r.objectPath(p.Files[0].Pieces[0].Sum)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			c, err := r.Check(t.Context(), func(int64) {}, func(int64) {})
			if err != nil || len(c.Damage) != 1 {
				t.Fatalf("check: %+v, %v", c, err)
			}
			d := c.Damage[0]
			if !strings.Contains(d.What, path) || !slices.Equal(d.Points, []string{p.Name, next.Name}) ||
				d.Files[1] != next.Name+": d/1.sst, octets 0 to 1000" {
				t.Errorf("damage: %+v", d)
			}
			dir := t.TempDir()
			err = r.Restore(t.Context(), p, dir, keepName, Options{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "d/1.sst") || !strings.Contains(err.Error(), path) {
				t.Errorf("restore: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "d/1.sst")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the damaged file was restored: %v", err)
			}
			if name == "changed" {
				return // only Check sees that
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if a := add(t, r, f); a.Copied != 1000 {
				t.Errorf("the next point copied %d octets", a.Copied)
			}
			checkRestored(t, r, p, map[string]string{"d/1.sst": f.content()["d/1.sst"]})
		})
	}
}

// TestDamagedManifest: at every octet, a change is noticed.
func TestDamagedManifest(t *testing.T) {
	f := newFolder(t)
	f.write("1.sst", Never, f.octets(10))
	r := create(t, t.TempDir())
	p := add(t, r, f).Point
	path := r.path(pointsDir, p.Name+pointSuffix)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good) - 1 {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if got, err := decodePoint(p.Name, bad); err == nil && (len(got.Files) != 1 || got.Files[0].Pieces[0] != p.Files[0].Pieces[0]) {
			t.Fatalf("octet %d changed, and nothing was said", i)
		}
		if _, err := decodePoint(p.Name, good[:i]); err == nil {
			t.Fatalf("cut off after %d octets, and nothing was said", i)
		}
	}
	if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Check(t.Context(), func(int64) {}, func(int64) {}); err != nil || len(c.Damage) != 1 || !strings.Contains(c.Damage[0].What, path) {
		t.Errorf("check: %+v, %v", c, err)
	}
	if _, err := r.At(time.Time{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("the newest point: %v", err)
	}
}

// TestRefused: folders and manifests that are not ours, or of a newer program.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "no backup repository") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "photo.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir); err == nil || !strings.Contains(err.Error(), "photo.jpg") {
		t.Errorf("somebody's folder: %v", err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, markName), []byte(markText+"2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(newer); err == nil || !strings.Contains(err.Error(), "run the newer one") {
		t.Errorf("a newer repository: %v", err)
	}
	r := create(t, t.TempDir())
	p := newPoint(clock)
	p.Files = []Entry{{Name: "../outside", Mode: 0o600}}
	if err := r.Restore(t.Context(), p, t.TempDir(), keepName, Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file outside: %v", err)
	}
	full := r.explain(fmt.Errorf("writing: %w", syscall.ENOSPC))
	if !errors.Is(full, syscall.ENOSPC) || !strings.Contains(full.Error(), "no room in "+r.dir) {
		t.Errorf("a full disk: %v", full)
	}
}
