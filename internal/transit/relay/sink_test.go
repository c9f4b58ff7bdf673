package relay

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

// TestAgainstSink hands messages to Postfix's smtp-sink, where there is one.
func TestAgainstSink(t *testing.T) {
	t.Parallel()
	sink := tool.Need(t, "smtp-sink")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	args := []string{fmt.Sprintf("127.0.0.1:%d", port), "100"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.CommandContext(t.Context(), sink, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	b := newBench(t, oneMX, uint16(port))
	var to []string
	for i := range 80 {
		to = append(to, fmt.Sprintf("u%d@example.net", i))
	}
	for range 5 {
		for _, r := range b.send(to...) {
			if r.Err != nil {
				t.Fatalf("%s: %v", r.Recipient.Address, r.Err)
			}
		}
	}
	if n := b.Stats().Delivered; n != 400 {
		t.Errorf("%d delivered, want 400", n)
	}
}
