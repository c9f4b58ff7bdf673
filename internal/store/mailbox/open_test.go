package mailbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"candor/internal/store/kv"
)

// The child of TestOpenAfterKill finds its folder and the number of messages in these.
const (
	openDir      = "CANDOR_OPEN_DIR"
	openMessages = "CANDOR_OPEN_MESSAGES"
)

// mostOpening is how long a store may take to open, whatever it holds and however its process ended.
const mostOpening = 2 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv(openDir); dir != "" {
		if err := fillAndWait(dir); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
		}
		os.Exit(3) // its parent kills it before
	}
	os.Exit(m.Run())
}

// fillAndWait stores messages, says "filled", and goes on storing for a minute.
func fillAndWait(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	n, err := strconv.Atoi(os.Getenv(openMessages))
	if err != nil {
		return err
	}
	db, err := kv.Open(ctx, kv.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s, err := Open(ctx, db, Options{})
	if err != nil {
		return err
	}
	if err := s.CreateAccount(ctx, account1); err != nil {
		return err
	}
	a, err := s.Account(ctx, account1)
	if err != nil {
		return err
	}
	inbox, err := a.Lookup(ctx, "INBOX")
	if err != nil {
		return err
	}
	if err := fill(ctx, s, a, inbox.ID, n); err != nil {
		return err
	}
	fmt.Println("filled")
	after, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	for after.Err() == nil {
		if err := fill(after, s, a, inbox.ID, 1000); err != nil {
			return err
		}
	}
	return nil
}

// fill stores n messages by many writers, a hundred at a time.
func fill(ctx context.Context, s *Store, a *Account, id ID, n int) error {
	const writers, batch = 8, 100
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := w * batch; i < n && errs[w] == nil; i += writers * batch {
				errs[w] = fillBatch(ctx, s, a, id, i, batch)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func fillBatch(ctx context.Context, s *Store, a *Account, id ID, first, n int) error {
	messages := make([]Message, n)
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range messages {
		wg.Go(func() {
			body, err := s.NewBody(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			defer body.Discard()
			size, err := fmt.Fprintf(body, "From: ann@example.org\r\nSubject: number %d\r\n\r\n%0*d\r\n", first+i, 600, first+i)
			if err == nil {
				messages[i] = Message{BlobSize: int64(size), Received: noon}
				messages[i].Blob, err = body.Finish()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	_, err := a.Append(ctx, id, messages, nil)
	return err
}

// TestOpenAfterKill: a store with many messages whose process was killed under load opens at once.
func TestOpenAfterKill(t *testing.T) {
	n := 20_000
	if os.Getenv("CANDOR_SOAK") != "" {
		n = 1_000_000
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), openDir+"="+dir, openMessages+"="+strconv.Itoa(n))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "filled\n" {
		t.Errorf("the child said %q, %v", line, err)
	}
	filled := time.Since(began)
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := child.Wait(); child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	began = time.Now()
	f := openFixture(t, dir)
	opened := time.Since(began)
	f.a = f.account(account1)
	f.session("INBOX")
	t.Logf("%d messages stored in %v; opened in %v, with INBOX in %v", n, filled, opened, time.Since(began))
	if opened > mostOpening {
		t.Errorf("opening took %v, want %v at most", opened, mostOpening)
	}
	if got := int(f.status("INBOX").Messages); got < n {
		t.Errorf("%d messages are there, want %d at least", got, n)
	}
}
