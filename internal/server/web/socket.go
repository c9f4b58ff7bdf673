package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// maxSocketPath is how long the path of a Unix socket can be in a socket address, in octets.
const maxSocketPath = 107

// reach calls f with a path to the socket that fits a socket address. A longer one is named through
// its open folder.
func reach[T any](path string, f func(string) (T, error)) (T, error) {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		var none T
		return none, err
	}
	defer folder.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)))
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

// Close ends the socket.
func (s *socket) Close() error {
	err := os.Remove(s.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.UnixListener.Close())
}

// Listen opens the operator socket at path, which only this user may use. A file that is there is
// taken for the socket of a server that has ended; let the store's lock show that first.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the operator socket of a server that has ended: %w", err)
	}
	l, err := reach(path, func(short string) (*net.UnixListener, error) {
		return net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the operator socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // it would use the short path
	s := &socket{l, path}
	if err := os.Chmod(path, 0o600); err != nil {
		s.Close()
		return nil, fmt.Errorf("guarding the operator socket: %w", err)
	}
	return s, nil
}

// connect opens a connection to the operator socket at path.
func connect(ctx context.Context, path string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	return reach(path, func(short string) (net.Conn, error) { return d.DialContext(ctx, "unix", short) })
}
