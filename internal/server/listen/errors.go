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
)
