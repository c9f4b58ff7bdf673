package kv

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The child of TestCrash finds its directory and its first number in these.
const (
	crashDir   = "CANDOR_CRASH_DIR"
	crashFirst = "CANDOR_CRASH_FIRST"
	// crashRounds says how often TestCrash kills.
	crashRounds = "CANDOR_CRASH_ROUNDS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashChild writes until it is killed, and tells on standard output what was acknowledged. It ends
// by itself after a while, should its parent be gone.
func crashChild(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	l := newLedger()
	if l.next, err = strconv.Atoi(os.Getenv(crashFirst)); err != nil {
		return err
	}
	l.told = os.Stdout
	fmt.Println("ready")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for l.store(ctx, e) == nil {
				continue
			}
		})
	}
	wg.Wait()
	return e.Close()
}

// TestCrash kills a process that writes, at any moment, again and again in one directory, and
// looks whether all that it acknowledged is there.
func TestCrash(t *testing.T) {
	rounds := 10
	if s := os.Getenv(crashRounds); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s=%s: %v", crashRounds, s, err)
		}
	}
	dir := t.TempDir()
	acked := map[int]BlobID{}
	for round := range rounds {
		first := 100000 * (round + 1)
		crashOnce(t, dir, first, acked)
		e, err := Open(t.Context(), Options{Dir: dir, Log: testLog(t)})
		if err != nil {
			t.Fatalf("round %d: opening after the crash: %v", round, err)
		}
		check(t, e, acked)
		if s := e.Stats(); s.Damaged != 0 {
			t.Errorf("round %d: a crash was taken for damage of %d octets", round, s.Damaged)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d messages acknowledged in %d rounds", len(acked), rounds)
}

// crashOnce runs a child, kills it after some acknowledgements, and adds them all to acked.
func crashOnce(t *testing.T, dir string, first int, acked map[int]BlobID) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s=%d", crashFirst, first))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	after := rand.IntN(150)
	lines := bufio.NewScanner(out)
	n := 0
	for lines.Scan() {
		if n == after {
			_ = child.Process.Kill()
		}
		n++
		if lines.Text() == "ready" {
			continue
		}
		readAck(t, lines.Text(), acked)
	}
	if err := child.Wait(); child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself after %d acknowledgements: %v", n, err)
	}
}

func readAck(t *testing.T, line string, acked map[int]BlobID) {
	t.Helper()
	var n int
	var text string
	if _, err := fmt.Sscanf(line, "%d %s", &n, &text); err != nil {
		t.Fatalf("acknowledgement %q: %v", line, err)
	}
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != len(BlobID{}) {
		return // the last line was cut off
	}
	acked[n] = BlobID(id)
}

// tell writes an acknowledgement as one line.
func tell(w io.Writer, n int, id BlobID) {
	_, _ = fmt.Fprintf(w, "%d %s\n", n, id)
}
