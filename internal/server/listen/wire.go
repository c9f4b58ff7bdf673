package listen

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// wire is the socket as TLS sees it.
type wire struct {
	*net.TCPConn
	raw syscall.RawConn
	// sealed lets TLS work off what it has, without asking the socket for more.
	sealed bool
	// hello says that the peer's ClientHello has come, served which certificate the handshake has shown for it.
	hello  atomic.Bool
	served *x509.Certificate

	effort     *effort
	out        []byte // of the Write under way, what has not been written
	outErr     error
	tryWriting func(fd uintptr) bool
}

func newWire(tcp *net.TCPConn, raw syscall.RawConn, e *effort) *wire {
	w := &wire{TCPConn: tcp, raw: raw, effort: e}
	w.tryWriting = w.writeIfReady
	return w
}

// notNow is what a sealed wire says. TLS goes on after an error that is temporary.
type notNow struct{}

func (notNow) Error() string   { return "nothing more here" }
func (notNow) Timeout() bool   { return true }
func (notNow) Temporary() bool { return true }

func (w *wire) Read(p []byte) (int, error) {
	if w.sealed {
		return 0, notNow{}
	}
	return w.TCPConn.Read(p)
}

// Write writes all of p. While it waits for the peer to read, it keeps nobody from a turn.
func (w *wire) Write(p []byte) (int, error) {
	w.out, w.outErr = p, nil
	err := w.raw.Write(w.tryWriting)
	if err == nil {
		err = w.outErr
	}
	n := len(p) - len(w.out)
	w.out = nil
	return n, err
}

// writeIfReady is Write's attempt; false means that the peer must read first.
func (w *wire) writeIfReady(fd uintptr) bool {
	for len(w.out) > 0 {
		n, err := ignoringEINTR(func() (int, error) { return unix.Write(int(fd), w.out) })
		if errors.Is(err, unix.EAGAIN) {
			w.effort.pause()
			return false
		}
		if err != nil {
			w.outErr = os.NewSyscallError("write", err)
			return true
		}
		w.out = w.out[n:]
	}
	return true
}
