package listen

import "errors"

var (
	// ErrLineTooLong is returned for a line over the limit.
	ErrLineTooLong = errors.New("listen: line too long")
	// ErrEarlyData is returned when octets came before TLS was ready.
	ErrEarlyData = errors.New("listen: data sent before TLS was ready")
	// ErrNoTLS is returned when TLS cannot be offered now (no certificate).
	ErrNoTLS = errors.New("listen: TLS not available")
	// ErrTimeout is returned by a wait that came to its end.
	ErrTimeout = errors.New("listen: timed out")
	// ErrTooSlow is returned when a peer sends content below the least rate (DemandRate).
	ErrTooSlow = errors.New("listen: peer sends too slowly")
	// ErrNoMemory is returned for a long line that there was no memory for, in some time.
	ErrNoMemory = errors.New("listen: out of memory for a long line")
	// ErrWrongProtocol is returned when the peer speaks TLS, HTTP or SSH where it should not. What
	// there is to say to it has been said and logged: the handler just returns.
	ErrWrongProtocol = errors.New("listen: peer speaks another protocol")
	// ErrClosed is returned on a connection that was closed from this side, by a limit or at the
	// end of draining.
	ErrClosed = errors.New("listen: connection closed here")
)
